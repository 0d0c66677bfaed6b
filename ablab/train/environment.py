"""The process environment that Lightning runs in when ablab has already started the processes."""

from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from ablab.train.parallel import ParallelContext


class ProcessGroupEnvironment(LightningEnvironment):
    """The processes of a run, which already form the default process group."""

    def __init__(self, parallel: ParallelContext) -> None:
        super().__init__()
        self._parallel = parallel

    @property
    def creates_processes_externally(self) -> bool:
        """True: Lightning must not start processes."""
        return True

    def local_rank(self) -> int:
        """Return the rank within the node."""
        return self._parallel.rank % self._parallel.layout.local

    def node_rank(self) -> int:
        """Return the rank of the node."""
        return self._parallel.rank // self._parallel.layout.local
