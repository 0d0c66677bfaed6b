"""The confirmatory runs: every arm on its seeds, either all of them, or as many as the verdicts
need.

Decisions follow from the records alone: look after look, from the first on, each from the seeds of
that look only, whatever else the home contains.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ablab.analysis.effects import looks_of, rules_of
from ablab.plan.equal_arms import first_by_value, merged
from ablab.plan.planned_arm import PlannedArm
from ablab.plan.planner import Planner
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.spec.margin import margin_of
from ablab.stats.effects import mean_sd
from ablab.stats.inference.verdict_types import TuningError
from ablab.stats.inference.verdicts import judge


class ConfirmatoryRuns:
    """The seeds that each arm has so far.

    `tuning` is the error of the arms' tuning, once they are tuned. `settled` states whether no more
    seeds will follow. None follow while a run of a look has failed
    or was cancelled.
    """

    def __init__(self, planner: Planner, root: Path) -> None:
        self._study = planner.study
        self._layout = planner.layout
        self._root = root
        self._looks = looks_of(planner.study)
        self._arms: dict[str, PlannedArm] = {}
        self._counts: dict[str, int] = {}  # seeds by arm
        self._diverged: set[str] = set()  # arms
        self._values: dict[str, float | None] = {}  # by run key; None if the run diverged
        self._issued: set[str] = set()  # run keys
        self._pending: set[str] = set()  # run keys
        self.settled = not self._looks
        self.tuning: TuningError | None = None

    def seeds(self, arm: str) -> list[int]:
        """Return the current seeds of an arm, or its first ones if it has not been added yet."""
        seeds = self._study.seed_list()
        if not self._looks:
            return seeds
        return seeds[: self._counts.get(arm, self._looks[0])]

    @property
    def first(self) -> list[int]:
        """The seeds with which every arm begins."""
        return self._study.seed_list()[: self._looks[0] if self._looks else None]

    def most(self, arms: Iterable[PlannedArm]) -> int:
        """Return the largest possible number of runs. Arms of equal value share theirs."""
        maximum = len(self._study.seed_list())
        counts: dict[tuple[str, int], int] = {}
        for arm in arms:
            name = arm.arm.name
            value = (arm.identity, arm.stream)
            settled = self.settled or name in self._diverged
            count = len(self.seeds(name)) if settled else maximum
            counts[value] = max(count, counts.get(value, 0))
        return sum(counts.values())

    def add(self, arm: PlannedArm) -> list[RunSpec]:
        """Add an arm and return its first runs."""
        name = arm.arm.name
        self._arms[name] = arm
        self._counts[name] = len(self.seeds(name))
        return self._issue(arm.runs(self.seeds(name)))

    def advance(self, finished: str | None = None) -> list[RunSpec] | None:
        """Return the runs that follow, or None if nothing new is decided.

        `finished` is the key of a run that has just finished.
        """
        if finished is not None:
            self._pending.discard(finished)
        if self.settled or self._pending or len(self._arms) < len(self._layout.arms):
            return None
        runs: list[RunSpec] = []
        while not self.settled and not self._pending:
            runs += self._look()
        return runs

    def _issue(self, runs: Iterable[RunSpec]) -> list[RunSpec]:
        """Return the runs that were not issued before, each once."""
        new = list({run.key: run for run in runs if run.key not in self._issued}.values())
        self._issued |= {run.key for run in new}
        if not self.settled:
            self._pending |= {run.key for run in new if not Record(self._root, run.key).finished}
        return new

    def _look(self) -> list[RunSpec]:
        """Judge all contrasts and return more runs of the arms whose verdicts are open.

        Arms that have seen fewer looks than others catch up first.
        """
        maximum = len(self._study.seed_list())
        counts = {arm: self._counts[arm] for arm in self._open() if self._counts[arm] < maximum}
        if not counts:
            self.settled = True
            return []
        target = next(look for look in self._looks if look > min(counts.values()))
        runs: list[RunSpec] = []
        for arm, count in counts.items():
            if count < target:
                self._counts[arm] = target
                runs += self._arms[arm].runs(self.seeds(arm)[count:])
        return self._issue(runs)

    def _open(self) -> list[str]:
        """Return the arms that need more seeds, in the order of the design."""
        first = first_by_value(
            {name: (arm.identity, arm.stream) for name, arm in self._arms.items()}
        )
        cells = self._cells(first)
        baseline = first.get(self._layout.baseline)
        mean, _ = mean_sd([value for (arm, _), value in cells.items() if arm == baseline])
        # The margin is None if the baseline diverged.
        rules = rules_of(self._study, margin_of(self._study.margin, mean))
        contrasts = [replace(c, weights=merged(c.weights, first)) for c in self._layout.contrasts]
        weighted = [contrast for contrast in contrasts if contrast.weights]
        verdicts = judge(cells, weighted, rules, self._diverged, self.tuning)
        return [
            name
            for name in self._layout.arms
            if first[name] in verdicts.open and name not in self._diverged
        ]

    def _cells(self, first: dict[str, str]) -> dict[tuple[str, int], float]:
        """Return the metric by arm and seed, and note the arms that diverged.

        Of arms of equal value only the first (`first`, by arm) is included.
        """
        cells: dict[tuple[str, int], float] = {}
        for name, arm in self._arms.items():
            values = {run.seed: self._value(run.key) for run in arm.runs(self.seeds(name))}
            if None in values.values():
                self._diverged.add(name)
            elif first[name] == name:
                cells |= {
                    (name, seed): value for seed, value in values.items() if value is not None
                }
        return cells

    def _value(self, key: str) -> float | None:
        """Return the metric of a finished run, or None if the run diverged."""
        if key not in self._values:
            result = Record(self._root, key).result
            assert result is not None  # no look takes place while a run is pending
            self._values[key] = None if result.diverged else result.value(self._study.metric)
        return self._values[key]

    @property
    def notes(self) -> list[str]:
        """Notes on the seeds for readers of the results."""
        if not self._looks:
            return []
        margin = self._study.margin
        if isinstance(margin, str):
            size = f"{margin} of the mean of {self._layout.baseline}"
        else:
            size = f"{margin:g} {self._study.metric}"
        first, *later = self._looks
        steps = ", ".join(map(str, later))
        return [
            (
                f"seeds: {first} of every arm, then {steps} of those whose verdicts are open; "
                f"margin {size}"
            )
        ]
