"""The run-to-run noise of a study, from the runs of its revisions that are recorded already."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from ablab.analysis.result_table import ResultTable, arms_of, read_results
from ablab.analysis.within_levels import within_levels
from ablab.records.home import Home
from ablab.records.study_record import revisions
from ablab.stats.effects import mean_sd
from ablab.stats.two_way import Cells, fit

# More runs would hardly improve the estimate of the noise, and planning must be quick.
_MAX_RUNS = 200
Measure = Callable[[Cells], float | None]


@dataclass(frozen=True)
class NoiseFloor:
    """The run-to-run noise of a study."""

    sd: float
    """Standard deviation of a run."""
    revision: str
    """Revision of the study that it comes from."""
    table: ResultTable
    """The results of that revision that it was estimated from."""


def about_both(cells: Cells) -> float | None:
    """Return the standard deviation about arm and seed means; None without degrees of freedom."""
    return fit(cells).sd if cells else None


def about_arms(cells: Cells) -> float | None:
    """Return the pooled standard deviation about arm means; None if every arm has one run."""
    by_arm: dict[str, list[float]] = {}
    for (arm, _), value in cells.items():
        by_arm.setdefault(arm, []).append(value)
    squares = 0.0
    dof = 0
    for values in by_arm.values():
        _, sd = mean_sd(values)
        if sd is not None:
            squares += sd**2 * (len(values) - 1)
            dof += len(values) - 1
    return sqrt(squares / dof) if dof else None


def noise_floor(
    home: Home, name: str, metric: str, part: str = "", measure: Measure = about_both
) -> NoiseFloor | None:
    """Return the run-to-run standard deviation of a metric, and where it comes from.

    It is estimated from the latest revision of a study whose finished runs give one, from 200 runs
    at most.

    Args:
        home: where the study was run.
        name: name of the study.
        metric: name of the metric.
        part: label of the part whose runs count: the noise of parts differs.
        measure: estimator of the standard deviation.

    """
    remaining = _MAX_RUNS
    for record in reversed(revisions(home, name)):
        content = record.read_if_possible()
        if content is None or content.study.metric != metric or remaining <= 0:
            continue
        runs = next((p.runs for p in content.parts if p.label == part), ())[:remaining]
        remaining -= len(runs)
        keys = (run.key for run in runs)
        table = ResultTable(arms_of(runs), runs, read_results(home.root, keys))
        sd = measure(within_levels(content.study, table.values(metric)))
        if sd is not None:
            return NoiseFloor(sd, record.revision, table)
    return None
