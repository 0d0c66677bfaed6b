"""What Lightning asks about the processes of a run, which are there before it is asked."""

from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from ablab.train.parallel import ParallelContext


class TeamEnvironment(LightningEnvironment):
    """The processes of a team, which already form the default process group."""

    def __init__(self, team: ParallelContext) -> None:
        super().__init__()
        self._team = team

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    def local_rank(self) -> int:
        """The place among the node's processes."""
        return self._team.rank % self._team.layout.local

    def node_rank(self) -> int:
        """The node's place among the nodes."""
        return self._team.rank // self._team.layout.local
