"""Plugins of Lightning's trainer: sealed checkpoint files, the handler of SIGTERM that a process
had, and processes that ablab has already started.
"""

import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
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


class KeepSigtermHandler(L.Callback):
    """Restores the handler of SIGTERM that the process had before training.

    Lightning's own ends the process once the fit has ended, and has the processes of a run
    communicate from within a signal handler.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replace Lightning's handler. Only the main thread may, and it alone has one."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


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
