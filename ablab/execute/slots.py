"""The runs that are under way in an executor, and the slots that they occupy."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablab.records.run_spec import RunSpec

_STARTS = 3


@dataclass
class InFlight:
    """A submitted run; `progress_time` (monotonic, seconds) is when its progress last changed."""

    spec: RunSpec
    progress_time: float
    progress: Mapping[str, Any] = field(default_factory=dict)


class Slots:
    """The slots in which runs are under way.

    A slot in which the last `_STARTS` workers died while starting rests until a worker elsewhere
    has started: then it is tried once more.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._slot_of: dict[str, int] = {}  # by run key
        self._failures: Counter[int] = Counter()  # starts that failed in a row, by slot
        self._has_started = False

    @property
    def available(self) -> bool:
        """Whether a run can be submitted."""
        return bool(self._free())

    @property
    def broken(self) -> bool:
        """Whether no worker starts: nothing is under way, and the slots rest in which it was tried.

        Where workers have started before, it is tried in all of them.
        """
        if self._slot_of or not self._failures or not self._number:
            return False
        return not self._free() if self._has_started else min(self._failures.values()) >= _STARTS

    def resize(self, number: int) -> None:
        """Note how many slots there are now; runs stay in those that are gone until they end."""
        self._number = number

    def occupy(self, key: str) -> None:
        """Note that a run was submitted."""
        self._slot_of[key] = self._free()[0]

    def vacate(self, key: str, *, started: bool = True) -> None:
        """Note that a run is not under way any more, and whether its worker had started."""
        slot = self._slot_of.pop(key)
        if not started:
            self._failures[slot] += 1
            return
        self._has_started = True
        self._failures.pop(slot, None)
        for resting, failures in self._failures.items():
            self._failures[resting] = min(failures, _STARTS - 1)

    def _free(self) -> list[int]:
        taken = set(self._slot_of.values())
        return [
            slot
            for slot in range(self._number)
            if slot not in taken and self._failures[slot] < _STARTS
        ]
