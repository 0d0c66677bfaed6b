"""What a planned study will be able to find, from the noise of runs that are recorded already."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

from ablab.analysis.result_table import ResultTable, arms_of, read_results
from ablab.design.layout import Contrast
from ablab.errors import UserError
from ablab.metrics import METRICS
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.plan.plan import PartPlan, Plan, StudyPlan
from ablab.records.home import Home, StudyRecord, revisions
from ablab.records.study_content import StudyContent
from ablab.stats.effects import mean_sd
from ablab.stats.power import Noise, PowerTarget, smallest_found
from ablab.stats.sequential import looks
from ablab.stats.two_way import Cells, fit
from ablab.stats.verdicts import Rules, detectable

# What is read to know the noise: more runs make it no more telling, and a plan must be quick.
_MOST_RUNS = 200
Measure = Callable[[Cells], float | None]


@dataclass(frozen=True)
class PowerForecast:
    """The smallest change that a planned study detects with 80 % power."""

    effect: float
    """That change, in the metric's units."""
    sd: float
    """Run-to-run standard deviation about arm and seed means; about arm means where the arms share
    no seeds.
    """
    seeds: int
    """Number of seeds of each arm."""
    revision: str
    """Revision of the study that `sd` comes from."""
    adaptive: bool
    """Whether `seeds` is a maximum."""


def about_both(cells: Cells) -> float | None:
    """The standard deviation about arm and seed means; None without degrees of freedom."""
    return fit(cells).sd if cells else None


def about_arms(cells: Cells) -> float | None:
    """The standard deviation about arm means, pooled; None where every arm has one run."""
    own: dict[str, list[float]] = {}
    for (arm, _), value in cells.items():
        own.setdefault(arm, []).append(value)
    spreads = [
        (spread**2, len(values) - 1)
        for values in own.values()
        if (spread := mean_sd(values)[1]) is not None
    ]
    dof = sum(count for _, count in spreads)
    return sqrt(sum(variance * count for variance, count in spreads) / dof) if dof else None


def noise_floor(
    home: Home, name: str, metric: str, part: str = "", measure: Measure = about_both
) -> tuple[float, str] | None:
    """Return the run-to-run standard deviation of a metric, and the revision it comes from.

    It is estimated from the latest revision of a study whose finished runs give one, from 200 runs
    at most.

    Args:
        home: where the study was run.
        name: name of the study.
        metric: name of the metric.
        part: label of the part whose runs count: the noise of parts differs.
        measure: how it is estimated.

    """
    left = _MOST_RUNS
    for record in reversed(revisions(home, name)):
        content = _readable(record)
        if content is None or content.study.metric != metric or left <= 0:
            continue
        runs = next((own.runs for own in content.parts if own.label == part), ())[:left]
        left -= len(runs)
        keys = (run.key for run in runs)
        table = ResultTable(arms_of(runs), runs, read_results(home.root, keys))
        sd = measure(table.values(metric))
        if sd is not None:
            return sd, record.revision
    return None


def _readable(record: StudyRecord) -> StudyContent | None:
    """The content of a record; None if another version of ablab wrote it."""
    try:
        return record.read()
    except UserError:
        return None


def power_forecasts(home: Home, name: str, plan: StudyPlan) -> list[PowerForecast | None]:
    """Return the smallest change that each part of the study `name` can detect.

    None for a part while no noise is known for its label, or where it asks about no change or has
    one seed.
    """
    return [_forecast(home, name, part) for part in plan.parts]


def _forecast(home: Home, name: str, part: PartPlan) -> PowerForecast | None:
    study = part.study
    plan = part.plan
    label = part.label
    seeds = len(study.seed_list())
    adaptive = study.adaptive
    if seeds < 2:
        return None
    rules = Rules(
        0.0,
        looks(adaptive.start, adaptive.max) if adaptive else (),
        sign=METRICS[study.metric].sign,
    )
    asked, first = _contrasts(plan)
    streams = {arm: study.replicates.get(arm, 0) for arm in first.values()}
    apart = [contrast for contrast in asked if len({streams[arm] for arm in contrast.weights}) > 1]
    found: list[tuple[float, float, str]] = []
    if len(apart) < len(asked) and (known := noise_floor(home, name, study.metric, label)):
        # The tests of the others count in Holm's procedure.
        within = [
            replace(contrast, kind="total") if contrast in apart else contrast for contrast in asked
        ]
        own = (
            len(streams) - len(set(streams.values())) + 1
        )  # the arms whose error is as plentiful in a single stream
        if (effect := detectable(within, own, seeds, known[0], rules)) is not None:
            found.append((effect, *known))
    if apart and (known := noise_floor(home, name, study.metric, label, about_arms)):
        family = sum(contrast.kind != "interaction" for contrast in asked)
        variance = known[0] ** 2 * max(
            sum(w**2 for w in contrast.weights.values()) for contrast in apart
        )
        noise = Noise(variance, 2.0)  # two samples
        found.append(
            (
                smallest_found(
                    noise, seeds, PowerTarget(family, rules.level, rules.power, rules.looks)
                ),
                *known,
            )
        )
    if not found:
        return None
    effect, sd, revision = max(found)
    return PowerForecast(effect, sd, seeds, revision, adaptive is not None)


def _contrasts(plan: Plan) -> tuple[list[Contrast], dict[str, str]]:
    """The contrasts of arms that differ, and by arm the first of equal value."""
    equal = first_by_runs(plan.runs)
    first = {arm.name: equal.get(arm.name, arm.name) for arm in plan.arms}
    contrasts = [replace(c, weights=merged(c.weights, first)) for c in plan.contrasts]
    return [contrast for contrast in contrasts if contrast.weights], first
