"""How far a run is in its budget, and what happens where: counted in batches, or read from the
clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablab.arch.recipe import RampSlot
from ablab.data.batches import Batches
from ablab.train.budget import TimeLimit


@dataclass(frozen=True)
class StepEvents:
    """What happens after a step: the training loss is recorded, the validation split scored;
    `last`: the budget is spent.
    """

    record: bool = False
    validate: bool = False
    last: bool = False


class Progress(ABC):
    """The way of one run through its budget. Steps are counted from 1; what is asked of step n is
    as it stands when n ends.
    """

    steps: int | None = None
    """Steps in all, where they are known beforehand."""

    @property
    @abstractmethod
    def largest(self) -> int:
        """Sequences in the largest batch."""

    @abstractmethod
    def seen(self, step: int) -> int:
        """Sequences in the first `step` batches."""

    @abstractmethod
    def share(self, step: int) -> float:
        """The share of the budget that is spent, 0 to 1."""

    @abstractmethod
    def moment(self, step: int) -> StepEvents:
        """What happens after `step`, which is the last one taken."""


class TokenProgress(Progress):
    """A budget that is so many batches. `validate_at`: shares of it at which the validation split
    is scored.
    """

    def __init__(self, batches: Batches, validate_at: Iterable[float]) -> None:
        self.batches, self.steps = batches, batches.steps
        self._interval = max(1, batches.steps // 100)
        last = batches.steps - 1
        self._validate_at = {
            min(last, max(1, batches.step_at(share))) for share in validate_at if last > 0
        }

    @property
    def largest(self) -> int:
        """Sequences in the largest batch."""
        return self.batches.largest

    def seen(self, step: int) -> int:
        """Sequences in the first `step` batches."""
        return self.batches.seen(step)

    def share(self, step: int) -> float:
        """The share of all sequences."""
        return self.batches.share(step)

    def moment(self, step: int) -> StepEvents:
        """A record every hundredth of the steps, and with each validation."""
        validate, last = step in self._validate_at, step >= self.batches.steps
        return StepEvents(step % self._interval == 0 or validate or last, validate, last)


class TimeProgress(Progress):
    """A budget of seconds in training steps. The run is over after the step in which the budget is
    reached.

    The clock is read after a step for which the device is waited for: after each where `pause` is
    0, else about every `pause` seconds, and after each of the last. In between, and for the step to
    come, a step is taken to last as long as those before the last reading did; so the step in which
    the budget is reached has the learning rate of its end. Batch sizes on a ramp follow the share
    that is spent when they are drawn.
    """

    def __init__(
        self, limit: TimeLimit, ramp: RampSlot, validate_at: Iterable[float], pause: float = 0.0
    ) -> None:
        self.limit, self.ramp, self.pause = limit, ramp, pause
        self._validate_at = tuple(validate_at)
        self._spent = self._before = self._step_seconds = (
            0.0  # at the last reading, the one before, of a step in between
        )
        self._read = self._next = 0
        self._ramped: list[list[int]] = []  # (size, batches) while they are not full
        self._full = False

    @property
    def largest(self) -> int:
        """Sequences in a batch after the ramp."""
        return self.limit.batch

    def seen(self, step: int) -> int:
        """Sequences in the first `step` batches; the sizes of those that were not asked for before
        are decided.
        """
        while not self._full and (decided := sum(count for _, count in self._ramped)) < step:
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
        """The share of the seconds, as far as can be told."""
        return min(
            1.0, (self._spent + max(0, step - self._read) * self._step_seconds) / self.limit.seconds
        )

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return self._spent >= self.limit.seconds

    def reads(self, step: int) -> bool:
        """Whether the clock is to be read after `step`."""
        return step >= self._next

    def spend(self, step: int, seconds: float) -> None:
        """After `step`, `seconds` are spent in all."""
        self._step_seconds = (seconds - self._spent) / max(1, step - self._read)
        self._before, self._spent, self._read = self._spent, seconds, step
        stretch = min(self.pause, self.limit.seconds - seconds)
        self._next = step + (
            max(1, int(stretch / self._step_seconds)) if self._step_seconds > 0 else 1
        )

    def moment(self, step: int) -> StepEvents:
        """A record every hundredth of the budget, and with each validation; where the clock was not
        read, nothing.
        """
        if step != self._read:
            return StepEvents()
        before, now = self._before / self.limit.seconds, self._spent / self.limit.seconds
        validate = not self.over and any(before < share <= now for share in self._validate_at)
        return StepEvents(
            self.over or validate or int(100 * before) < int(100 * now), validate, self.over
        )

    def state(self) -> dict[str, Any]:
        """Plain values, for the checkpoint."""
        return {
            "spent": self._spent,
            "read": self._read,
            "step_seconds": self._step_seconds,
            "ramped": self._ramped,
            "full": self._full,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`."""
        self._spent = self._before = state["spent"]
        self._read = self._next = state["read"]
        self._step_seconds, self._full = state["step_seconds"], state["full"]
        self._ramped = [list(run) for run in state["ramped"]]
