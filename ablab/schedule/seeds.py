"""The confirming runs: every arm on its seeds. All at once, or, where seeds are adaptive, as many
as the verdicts need.

What is decided follows from the records alone: stage after stage, from the first look on, and at
each look from the seeds of that look only, whatever else a home holds.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ablab.metrics import METRICS
from ablab.plan.equal_arms import first_by_value, merged
from ablab.plan.planner import PlannedArm, Planner
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.spec.margin import margin_of
from ablab.stats.effects import mean_sd
from ablab.stats.sequential import looks
from ablab.stats.verdicts import Rules, judge


class Confirming:
    """How many seeds each arm has by now. `settled`: whether no more will follow; while a run of a
    look is failed or cancelled, none do.
    """

    def __init__(self, planner: Planner, root: Path) -> None:
        self._study, self._layout, self._root = planner.study, planner.layout, root
        adaptive = planner.study.adaptive
        self._looks: tuple[int, ...] = looks(adaptive.start, adaptive.max) if adaptive else ()
        self._arms: dict[str, PlannedArm] = {}
        self._counts: dict[str, int] = {}
        self._diverged: set[str] = set()
        self._values: dict[str, float | None] = {}  # by key; None of runs that diverged
        self._handed: set[str] = set()
        self._pending: set[str] = set()
        self.settled = not self._looks

    def seeds(self, arm: str) -> list[int]:
        """An arm's seeds by now; of one that is not there yet, those that it will begin with."""
        every = self._study.seed_list()
        return every[: self._counts.get(arm, self._looks[0])] if self._looks else every

    @property
    def first(self) -> list[int]:
        """The seeds that every arm begins with."""
        return self._study.seed_list()[: self._looks[0] if self._looks else None]

    def most(self, arms: Iterable[PlannedArm]) -> int:
        """How many runs there can be at most. Arms of equal value share theirs."""
        every = len(self._study.seed_list())
        counts: dict[tuple[str, int], int] = {}
        for arm in arms:
            name, value = arm.arm.name, (arm.shared, arm.stream)
            count = len(self.seeds(name)) if self.settled or name in self._diverged else every
            counts[value] = max(count, counts.get(value, 0))
        return sum(counts.values())

    def add(self, arm: PlannedArm) -> list[RunSpec]:
        """An arm's first runs."""
        name = arm.arm.name
        self._arms[name], self._counts[name] = arm, len(self.seeds(name))
        return self._hand_out(arm.runs(self.seeds(name)))

    def advance(self, finished: str | None = None) -> list[RunSpec] | None:
        """The runs that follow, now that the run with the key `finished` is; None where nothing new
        is decided.
        """
        if finished is not None:
            self._pending.discard(finished)
        if self.settled or self._pending or len(self._arms) < len(self._layout.arms):
            return None
        more: list[RunSpec] = []
        while not self.settled and not self._pending:
            more += self._look()
        return more

    def _hand_out(self, runs: Iterable[RunSpec]) -> list[RunSpec]:
        new = list({run.key: run for run in runs if run.key not in self._handed}.values())
        self._handed |= {run.key for run in new}
        if not self.settled:
            self._pending |= {run.key for run in new if not Record(self._root, run.key).finished}
        return new

    def _look(self) -> list[RunSpec]:
        """Judges what all arms came to; more seeds where verdicts are open. Arms that lag behind in
        looks catch up first.
        """
        most = len(self._study.seed_list())
        wanted = {arm: self._counts[arm] for arm in self._open() if self._counts[arm] < most}
        if not wanted:
            self.settled = True
            return []
        target = next(look for look in self._looks if look > min(wanted.values()))
        runs: list[RunSpec] = []
        for arm, count in wanted.items():
            if count < target:
                self._counts[arm] = target
                runs += self._arms[arm].runs(self.seeds(arm)[count:])
        return self._hand_out(runs)

    def _open(self) -> list[str]:
        """The arms that need more seeds, in the design's order."""
        cells: dict[tuple[str, int], float] = {}
        first = first_by_value({name: (arm.shared, arm.stream) for name, arm in self._arms.items()})
        for name, arm in self._arms.items():
            found = {run.seed: self._value(run.key) for run in arm.runs(self.seeds(name))}
            if None in found.values():
                self._diverged.add(name)
            elif first[name] == name:  # the same run counts once
                cells |= {(name, seed): value for seed, value in found.items() if value is not None}
        baseline = first.get(self._layout.baseline)
        mean, _ = mean_sd([value for (arm, _), value in cells.items() if arm == baseline])
        # Where there is no margin, since the baseline diverged, nothing counts as nil.
        rules = Rules(
            margin_of(self._study.margin, mean) or 0.0,
            self._looks,
            sign=METRICS[self._study.metric].sign,
        )
        asked = [replace(c, weights=merged(c.weights, first)) for c in self._layout.contrasts]
        found = judge(
            cells, [contrast for contrast in asked if contrast.weights], rules, self._diverged
        )
        return [
            name
            for name in self._layout.arms
            if first[name] in found.open and name not in self._diverged
        ]

    def _value(self, key: str) -> float | None:
        if key not in self._values:
            result = Record(self._root, key).result
            assert result is not None  # nobody looks while a run is pending
            self._values[key] = None if result.diverged else result.value(self._study.metric)
        return self._values[key]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the seeds."""
        if not self._looks:
            return []
        margin = self._study.margin
        of = (
            f"{margin} of the mean of {self._layout.baseline}"
            if isinstance(margin, str)
            else f"{margin:g} {self._study.metric}"
        )
        first, *later = self._looks
        told = ", ".join(map(str, later))
        return [
            (
                f"seeds: {first} of every arm, then {told} of those whose verdicts are open; "
                f"margin {of}"
            )
        ]
