"""What is measured while a run trains: loss, validation, time, memory; and when it checkpoints or
stops.

Losses stay on the device until an interval ends, so that no step waits for a figure.
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

from ablab.train.module import TrainedDecoder
from ablab.train.parallel import ParallelContext
from ablab.train.progress import Progress, TimeProgress

BEAT_SECONDS = 1.0
Log = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Hooks:
    """What a run is given from outside. `log(step, metrics)`; `stop()`, asked after every step:
    whether to end now and go on another day; `beat(share, metrics)`: called about once a second;
    `resumed(step)`: the run goes on from there. `clock`: seconds since some moment.
    """

    log: Log
    stop: Callable[[], bool]
    beat: Callable[[float, Mapping[str, float]], None]
    resumed: Callable[[int], None]
    clock: Callable[[], float] = perf_counter


SILENT = Hooks(
    lambda step, metrics: None, lambda: False, lambda share, metrics: None, lambda step: None
)


@dataclass(frozen=True)
class Cadence:
    """When things happen: the run's course, seconds between checkpoints, and where they go.
    `context`: tokens in a sequence.
    """

    course: Progress
    context: int
    checkpoint: Path
    checkpoint_seconds: float

    def tokens(self, step: int) -> int:
        """Tokens seen in the first `step` steps."""
        return self.course.seen(step) * self.context


@dataclass
class Tally:
    """What has been measured so far; kept in the checkpoint."""

    seconds: float = 0.0
    validation_seconds: float = 0.0
    peak_memory: int = 0
    first_loss: float = math.nan
    last_loss: float = math.nan
    pending: list[float] = field(default_factory=list)


class Recorder(L.Callback):
    """Measures a run and decides when it checkpoints, validates and stops: in every process of it,
    at the same step.
    """

    def __init__(
        self,
        hooks: Hooks,
        cadence: Cadence,
        validate: Callable[[], Mapping[str, float]],
        team: ParallelContext,
    ) -> None:
        self.hooks, self.cadence, self.validate, self.team = hooks, cadence, validate, team
        self.tally = Tally()
        self.interrupted = self.diverged = False
        self._earlier = 0.0
        self._losses: list[Tensor] = []
        self._mark = self._beat = self._saved = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clocks."""
        self.hooks.resumed(trainer.global_step)
        assert isinstance(pl_module, TrainedDecoder)
        timed = isinstance(self.cadence.course, TimeProgress)
        if (
            isinstance(self.cadence.course, TimeProgress) and self.cadence.course.over
        ):  # the checkpoint is of its end
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
        """After each step."""
        step = trainer.global_step
        self._losses.append(outputs["loss"].detach())
        course = self.cadence.course
        if isinstance(course, TimeProgress) and course.reads(step):
            self._close_interval()
            course.spend(step, self.team.told(self.tally.seconds))
        moment = course.moment(step)
        if moment.record or self.diverged:
            self._record(step)
        if moment.validate and not self.diverged:
            self._validate(step)
        now = self.hooks.clock()
        stop = self.hooks.stop() and not moment.last
        if now - self._beat >= BEAT_SECONDS or step == 1:
            self._beat = now
            figures = {"step": step, "train/loss": self.tally.last_loss, **self.speed(step)}
            self.hooks.beat(course.share(step), figures)
            self._mark += self.hooks.clock() - now  # telling how far it is is no training
        self.interrupted, save = self.team.agreed(
            stop, now - self._saved >= self.cadence.checkpoint_seconds
        )
        if self.interrupted or save:
            self._checkpoint(trainer, step)
        if self.interrupted or self.diverged or moment.last:
            trainer.should_stop = True

    def speed(self, step: int) -> dict[str, float]:
        """Tokens and tokens a second so far."""
        tokens = self.cadence.tokens(step)
        return {
            "cost/tokens": tokens,
            "cost/tokens_per_second": tokens / self.tally.seconds if self.tally.seconds else 0.0,
        }

    def state_dict(self) -> dict[str, Any]:
        """The tally, and where the clock stood, for the checkpoint."""
        course = self.cadence.course
        return {
            **vars(self.tally),
            **({"course": course.state()} if isinstance(course, TimeProgress) else {}),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        tally = dict(state_dict)
        if (state := tally.pop("course", None)) is not None and isinstance(
            self.cadence.course, TimeProgress
        ):
            self.cadence.course.restore(state)
        self.tally = Tally(**tally)
        self._earlier = self._spent()

    def busy_seconds(self) -> float:
        """Seconds in training steps and validations since this process took the run up."""
        return self._spent() - self._earlier

    def _spent(self) -> float:
        return self.tally.seconds + self.tally.validation_seconds

    def _close_interval(self) -> None:
        """Waits for the device, adds up time and losses."""
        losses = [loss.item() for loss in self._losses]
        self._losses.clear()
        self.tally.seconds += self.hooks.clock() - self._mark
        self.tally.pending += losses
        self.tally.peak_memory = max(self.tally.peak_memory, _memory())
        if math.isnan(self.tally.first_loss) and losses:
            self.tally.first_loss = losses[0]
        self.diverged = self.diverged or not all(map(math.isfinite, losses))
        self._mark = self.hooks.clock()

    def _record(self, step: int) -> None:
        """Logs the mean loss since the last record."""
        self._close_interval()
        if self.tally.pending:
            self.tally.last_loss = sum(self.tally.pending) / len(self.tally.pending)
            self.tally.pending = []
            self.hooks.log(step, {"train/loss": self.tally.last_loss, **self.speed(step)})
        self._mark = self.hooks.clock()

    def _validate(self, step: int) -> None:
        with self.validating():
            metrics = self.validate()
        self.hooks.log(step, metrics)
        self._mark = self.hooks.clock()

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Counts the time inside as validation."""
        start = self.hooks.clock()
        yield
        self.tally.validation_seconds += self.hooks.clock() - start

    def _checkpoint(self, trainer: L.Trainer, step: int) -> None:
        self._close_interval()
        trainer.save_checkpoint(self.cadence.checkpoint)
        self._mark = self._saved = self.hooks.clock()


def _memory() -> int:
    """Bytes: the device's peak on CUDA; elsewhere it is measured at the end (see
    `ablab.train.costs`).
    """
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
