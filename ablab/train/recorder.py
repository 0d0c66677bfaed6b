"""Measurements during training (loss, validation, time, memory), and when to checkpoint or stop.

Losses stay on the device until an interval ends, so that no step waits for a measurement.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ablab.train.budget import Progress, TimeProgress
from ablab.train.divergence import WINDOW
from ablab.train.module import TrainedDecoder
from ablab.train.parallel import ParallelContext

BEAT_SECONDS = 1.0
Log = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a run.

    `log(step, metrics)` receives metrics; `stop()` is called after every step and returns whether
    to stop now and resume later; `beat(share, metrics)` is called about once per second;
    `resumed(step)` is called when the run continues from a checkpoint. `sync()` has the metrics
    logged so far survive a power failure and returns the number of rows; `has_rows(step, rows)`
    returns whether there are so many up to a step. `note(line)` receives what people should know.
    `clock` returns seconds since an arbitrary origin.
    """

    log: Log
    stop: Callable[[], bool]
    beat: Callable[[float, Mapping[str, float]], None]
    resumed: Callable[[int], None]
    sync: Callable[[], int] = lambda: 0
    has_rows: Callable[[int, int], bool] = lambda step, rows: True
    note: Callable[[str], None] = lambda line: None
    clock: Callable[[], float] = perf_counter


SILENT = Hooks(
    lambda step, metrics: None, lambda: False, lambda share, metrics: None, lambda step: None
)


@dataclass(frozen=True)
class Cadence:
    """The schedule of a run: its progress, the tokens per sequence (`context`), and the path of the
    checkpoint with the seconds between saves.
    """

    progress: Progress
    context: int
    checkpoint: Path
    checkpoint_seconds: float

    def tokens(self, step: int) -> int:
        """Return the number of tokens in the first `step` steps."""
        return self.progress.seen(step) * self.context


@dataclass
class TrainingTotals:
    """Measurements so far; saved in the checkpoint. `first_losses` and `latest_losses` are those of
    up to `WINDOW` steps, `pending` those since the last record, of which `last_loss` is the mean.
    """

    seconds: float = 0.0
    validation_seconds: float = 0.0
    measuring_seconds: float = 0.0
    peak_memory: int = 0
    first_losses: list[float] = field(default_factory=list)
    latest_losses: list[float] = field(default_factory=list)
    last_loss: float = math.nan
    pending: list[float] = field(default_factory=list)

    def add(self, losses: list[float]) -> None:
        """Add the losses of further steps."""
        self.pending += losses
        self.first_losses = (self.first_losses + losses)[:WINDOW]
        self.latest_losses = (self.latest_losses + losses)[-WINDOW:]


class Recorder(L.Callback):
    """Measures a run and decides when to checkpoint, validate and stop. All processes of a run
    decide the same at the same step.
    """

    def __init__(
        self,
        hooks: Hooks,
        cadence: Cadence,
        validate: Callable[[], Mapping[str, float]],
        parallel: ParallelContext,
    ) -> None:
        self.hooks = hooks
        self.cadence = cadence
        self.validate = validate
        self.parallel = parallel
        self.totals = TrainingTotals()
        self.interrupted = self.diverged = False
        self._earlier = 0.0
        self._losses: list[Tensor] = []
        self._mark = self._beat = self._saved = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clocks."""
        self.hooks.resumed(trainer.global_step)
        assert isinstance(pl_module, TrainedDecoder)
        progress = self.cadence.progress
        timed = isinstance(progress, TimeProgress)
        if timed and progress.over:  # resumed from the checkpoint of the last step
            trainer.should_stop = True
        elif timed or pl_module.compiled:
            pl_module.rehearse()
        self._mark = self._beat = self._saved = self.hooks.clock()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measure, record, validate, checkpoint and stop as due after this step."""
        step = trainer.global_step
        self._losses.append(outputs["loss"].detach())
        progress = self.cadence.progress
        if isinstance(progress, TimeProgress) and progress.reads(step):
            self._close_interval()
            progress.spend(step, self.parallel.broadcast(self.totals.seconds))
        events = progress.events(step)
        if events.record or self.diverged:
            self._record(step)
        if events.validate and not self.diverged:
            self._validate(step)
        now = self.hooks.clock()
        stop = self.hooks.stop() and not events.last
        if now - self._beat >= BEAT_SECONDS or step == 1:
            self._beat = now
            figures = {"step": step, "train/loss": self.totals.last_loss, **self.speed(step)}
            self.hooks.beat(progress.share(step), figures)
            self._mark += self.hooks.clock() - now  # reporting progress is not training time
        self.interrupted, save = self.parallel.broadcast_flags(
            stop, now - self._saved >= self.cadence.checkpoint_seconds
        )
        if self.interrupted or save:
            self._checkpoint(trainer, step)
        if self.interrupted or self.diverged or events.last:
            trainer.should_stop = True

    def speed(self, step: int) -> dict[str, float]:
        """Return tokens and tokens per second so far."""
        tokens = self.cadence.tokens(step)
        return {
            "cost/tokens": tokens,
            "cost/tokens_per_second": tokens / self.totals.seconds if self.totals.seconds else 0.0,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the measurements, and the progress of a time budget, for the checkpoint."""
        progress = self.cadence.progress
        if isinstance(progress, TimeProgress):
            return {**vars(self.totals), "progress": progress.state()}
        return dict(vars(self.totals))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        totals = dict(state_dict)
        state = totals.pop("progress", None)
        progress = self.cadence.progress
        if state is not None and isinstance(progress, TimeProgress):
            progress.restore(state)
        self.totals = TrainingTotals(**totals)
        self._earlier = self._spent()

    def busy_seconds(self) -> float:
        """Return seconds spent in training steps, validation and measuring costs by this
        process.
        """
        return self._spent() - self._earlier

    def _spent(self) -> float:
        totals = self.totals
        return totals.seconds + totals.validation_seconds + totals.measuring_seconds

    def _close_interval(self) -> None:
        """Wait for the device, then add up time and losses."""
        losses = [loss.item() for loss in self._losses]
        self._losses.clear()
        self.totals.seconds += self.hooks.clock() - self._mark
        self.totals.add(losses)
        self.totals.peak_memory = max(self.totals.peak_memory, _memory())
        self.diverged = self.diverged or not all(map(math.isfinite, losses))
        self._mark = self.hooks.clock()

    def _record(self, step: int) -> None:
        """Log the mean loss since the last record."""
        self._close_interval()
        if self.totals.pending:
            self.totals.last_loss = sum(self.totals.pending) / len(self.totals.pending)
            self.totals.pending = []
            self.hooks.log(step, {"train/loss": self.totals.last_loss, **self.speed(step)})
        self._mark = self.hooks.clock()

    def _validate(self, step: int) -> None:
        with self.validating():
            metrics = self.validate()
        self.hooks.log(step, metrics)
        self._mark = self.hooks.clock()

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Count the time within the context as validation."""
        start = self.hooks.clock()
        yield
        self.totals.validation_seconds += self.hooks.clock() - start

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time within the context as measuring costs."""
        start = self.hooks.clock()
        yield
        self.totals.measuring_seconds += self.hooks.clock() - start

    def _checkpoint(self, trainer: L.Trainer, step: int) -> None:
        self._close_interval()
        rows = self.hooks.sync()
        trainer.save_checkpoint(self.cadence.checkpoint, storage_options={"rows": rows})
        self._mark = self._saved = self.hooks.clock()


def _memory() -> int:
    """Return the peak memory of the CUDA device in bytes. Elsewhere memory is measured at the end
    (see `ablab.train.costs.memory`).
    """
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
