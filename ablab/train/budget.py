"""The time limit of a run, the progress of a run through its budget, and the events due after each
step.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablab.arch.recipe import RampSlot
from ablab.data.batches import Batches


@dataclass(frozen=True)
class TimeLimit:
    """A budget of `seconds` of training steps on `machine`, in batches of `batch` sequences
    (smaller on a ramp) divided as in `layout`.

    Only training steps count: compilation, validation, checkpointing and progress reports do not.
    The number of steps depends on the machine's load, so a run is not bitwise reproducible. Runs in
    parallel slow each other down; `--workers 1` avoids that.
    """

    seconds: float
    batch: int
    machine: str
    layout: str


@dataclass(frozen=True)
class StepEvents:
    """What happens after a step: the training loss is recorded, the validation split is scored, or
    the budget is spent (`last`).
    """

    record: bool = False
    validate: bool = False
    last: bool = False


class Progress(ABC):
    """The progress of a run through its budget. Steps are numbered from 1; figures of step n refer
    to the end of step n.
    """

    steps: int | None = None
    """Steps in all, where they are known beforehand."""

    @property
    @abstractmethod
    def largest(self) -> int:
        """Number of sequences in the largest batch."""

    @abstractmethod
    def seen(self, step: int) -> int:
        """Return the number of sequences in the first `step` batches."""

    @abstractmethod
    def share(self, step: int) -> float:
        """Return the share of the budget that is spent after `step`, from 0 to 1."""

    @abstractmethod
    def events(self, step: int) -> StepEvents:
        """Return what happens after `step`, the step just completed."""


class TokenProgress(Progress):
    """Progress through a fixed number of batches. `validate_at` are shares of the budget at which
    the validation split is scored.
    """

    def __init__(self, batches: Batches, validate_at: Iterable[float]) -> None:
        self.batches = batches
        self.steps = batches.steps
        self._interval = max(1, batches.steps // 100)
        last = batches.steps - 1
        self._validate_at = {
            min(last, max(1, batches.step_at(share))) for share in validate_at if last > 0
        }

    @property
    def largest(self) -> int:
        """Number of sequences in the largest batch."""
        return self.batches.largest

    def seen(self, step: int) -> int:
        """Return the number of sequences in the first `step` batches."""
        return self.batches.seen(step)

    def share(self, step: int) -> float:
        """Return the share of all sequences in the first `step` batches."""
        return self.batches.share(step)

    def events(self, step: int) -> StepEvents:
        """Record 100 times in a run and at each validation."""
        validate = step in self._validate_at
        last = step >= self.batches.steps
        return StepEvents(step % self._interval == 0 or validate or last, validate, last)


class TimeProgress(Progress):
    """Progress through a budget of seconds in training steps. The run ends after the step in which
    the budget is exhausted.

    Reading the clock requires waiting for the device. It is read after every step if `pause` is 0;
    otherwise about every `pause` seconds, and after each of the final steps. Between readings, and
    for the coming step, a step is assumed to take as long as the mean step before the last reading,
    so that the step that exhausts the budget has the final learning rate. Batch sizes on a ramp
    follow the share spent when the batch is drawn.
    """

    def __init__(
        self, limit: TimeLimit, ramp: RampSlot, validate_at: Iterable[float], pause: float = 0.0
    ) -> None:
        self.limit = limit
        self.ramp = ramp
        self.pause = pause
        self._validate_at = tuple(validate_at)
        self._spent = 0.0  # seconds, at the last reading of the clock
        self._before = 0.0  # seconds, at the reading before that
        self._step_seconds = 0.0  # mean over the steps between the two
        self._read = 0  # the step of the last reading
        self._next = 0  # the step of the next reading
        self._ramped: list[list[int]] = []  # (size, batches) below the full size
        self._full = False

    @property
    def largest(self) -> int:
        """Number of sequences in a batch after the ramp."""
        return self.limit.batch

    def seen(self, step: int) -> int:
        """Return the number of sequences in the first `step` batches, fixing the sizes of batches
        that had none yet.
        """
        while not self._full:
            decided = sum(count for _, count in self._ramped)
            if decided >= step:
                break
            fraction = self.ramp.fraction(self.share(decided))
            size = max(1, min(self.limit.batch, int(fraction * self.limit.batch)))
            self._full = fraction >= 1.0
            if self._full:
                break
            if self._ramped and self._ramped[-1][0] == size:
                self._ramped[-1][1] += 1
            else:
                self._ramped.append([size, 1])
        ramped = tuple((size, count) for size, count in self._ramped)
        return Batches((*ramped, (self.limit.batch, 0))).seen(step)

    def share(self, step: int) -> float:
        """Return the estimated share of the seconds spent after `step`."""
        return min(
            1.0, (self._spent + max(0, step - self._read) * self._step_seconds) / self.limit.seconds
        )

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return self._spent >= self.limit.seconds

    def reads(self, step: int) -> bool:
        """Whether the clock must be read after `step`."""
        return step >= self._next

    def spend(self, step: int, seconds: float) -> None:
        """Record that `seconds` in total have been spent after `step`."""
        self._step_seconds = (seconds - self._spent) / max(1, step - self._read)
        self._before = self._spent
        self._spent = seconds
        self._read = step
        stretch = min(self.pause, self.limit.seconds - seconds)
        self._next = step + (
            max(1, int(stretch / self._step_seconds)) if self._step_seconds > 0 else 1
        )

    def events(self, step: int) -> StepEvents:
        """Record 100 times in a run and at each validation; nothing happens after steps without a
        reading of the clock.
        """
        if step != self._read:
            return StepEvents()
        before = self._before / self.limit.seconds
        now = self._spent / self.limit.seconds
        validate = not self.over and any(before < share <= now for share in self._validate_at)
        return StepEvents(
            self.over or validate or int(100 * before) < int(100 * now), validate, self.over
        )

    def state(self) -> dict[str, Any]:
        """Return the state as plain values, for the checkpoint."""
        return {
            "spent": self._spent,
            "read": self._read,
            "step_seconds": self._step_seconds,
            "ramped": self._ramped,
            "full": self._full,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by `state`."""
        self._spent = self._before = state["spent"]
        self._read = self._next = state["read"]
        self._step_seconds = state["step_seconds"]
        self._full = state["full"]
        self._ramped = [list(run) for run in state["ramped"]]
