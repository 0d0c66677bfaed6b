"""The table that all statistics are computed from: results by arm and seed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ablab.plan.equal_arms import first_by_runs, merged
from ablab.records.run_record import Record
from ablab.records.study_content import PartContent, RunEntry
from ablab.stats.two_way import Cells
from ablab.train.result import RunResult


@dataclass(frozen=True)
class ResultTable:
    """Results of the runs of some arms.

    Arms of equal value share their runs. The first of them stands for all, since the same run
    counts once. An arm with a diverged run has no values.
    """

    arms: tuple[str, ...]
    """Names of the arms."""
    runs: tuple[RunEntry, ...]
    """Planned runs of these arms."""
    results: Mapping[str, RunResult]
    """Results by key, of those that are finished and perhaps of other runs."""

    @classmethod
    def of(
        cls,
        part: PartContent,
        results: Mapping[str, RunResult],
        runs: Iterable[RunEntry] | None = None,
    ) -> "ResultTable":
        """Return the table of a part's runs, or of `runs`, from results by key."""
        planned = tuple(part.runs if runs is None else runs)
        return cls(tuple(arm.name for arm in part.arms), planned, results)

    @cached_property
    def first(self) -> dict[str, str]:
        """By arm, the first arm of equal value."""
        return first_by_runs(self.runs)

    @cached_property
    def finished(self) -> list[tuple[RunEntry, RunResult]]:
        """The finished runs with their results, in the order of the plan."""
        return [(run, self.results[run.key]) for run in self.runs if run.key in self.results]

    @cached_property
    def diverged(self) -> frozenset[str]:
        """The arms with a diverged run."""
        return frozenset(run.arm for run, result in self.finished if result.diverged)

    @cached_property
    def missing(self) -> frozenset[str]:
        """The arms with runs to come that have not diverged."""
        begun = {run.arm for run in self.runs}
        open_arms = {run.arm for run in self.runs if run.key not in self.results}
        return frozenset((open_arms | (set(self.arms) - begun)) - self.diverged)

    def results_of(self, arm: str) -> list[tuple[int, RunResult]]:
        """Return the results of an arm with their seeds."""
        return [(run.seed, result) for run, result in self.finished if run.arm == arm]

    def values(self, metric: str, *, equal_arms: bool = False) -> Cells:
        """Return a metric's or a cost's values by arm and seed.

        Args:
            metric: name as in `RunResult.value`.
            equal_arms: whether arms equal to an earlier one have values of their own.

        """
        return {
            (run.arm, run.seed): result.value(metric)
            for run, result in self.finished
            if run.arm not in self.diverged and (equal_arms or self.first[run.arm] == run.arm)
        }

    def of_arm(self, arm: str, metric: str) -> list[float]:
        """Return the values of an arm, or of the first that equals it."""
        name = self.first.get(arm, arm)
        return [value for (other, _), value in self.values(metric).items() if other == name]

    def weights(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Return a contrast's weights on the arms that have values; empty between equal arms."""
        return merged(weights, self.first)

    def on_seeds(self, seeds: Collection[int]) -> "ResultTable":
        """Return the table of the runs on these seeds."""
        return replace(self, runs=tuple(run for run in self.runs if run.seed in seeds))


def read_results(home: Path, keys: Iterable[str]) -> dict[str, RunResult]:
    """Return the results of the runs that are finished, by key."""
    results = {key: Record(home, key).result for key in dict.fromkeys(keys)}
    return {key: result for key, result in results.items() if result is not None}


def arms_of(runs: Sequence[RunEntry]) -> tuple[str, ...]:
    """Return the arms of runs, in order."""
    return tuple(dict.fromkeys(run.arm for run in runs))
