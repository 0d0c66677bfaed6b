"""Plugins of Lightning's trainer: sealed checkpoint files, and processes that ablab has already
started.
"""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ablab.train.checkpoints import load_checkpoint, save_checkpoint
from ablab.train.parallel import ParallelContext


class SealedCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are written atomically, with a seal. (Lightning's own writer returns
    silently on PermissionError, issue #21800.)
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to `path`; on failure a previous file is left unchanged.

        `storage_options["rows"]` is the number of measurements recorded so far.
        """
        save_checkpoint(checkpoint, Path(path), storage_options["rows"])

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load a checkpoint that contains only tensors and plain values."""
        return load_checkpoint(Path(path))


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
