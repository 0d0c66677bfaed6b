"""The power of a planned study, from the noise of runs that are recorded already."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

from ablab.analysis.effects import looks_of
from ablab.analysis.result_table import ResultTable, arms_of, read_results
from ablab.design.layout import Contrast
from ablab.errors import UserError
from ablab.metrics import METRICS
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.plan.plan import PartPlan, Plan, StudyPlan
from ablab.records.home import Home
from ablab.records.study_content import StudyContent
from ablab.records.study_record import StudyRecord, revisions
from ablab.stats.effects import mean_sd
from ablab.stats.limits import MIN_SEEDS
from ablab.stats.power import Noise, PowerTarget, smallest_found
from ablab.stats.two_way import Cells, fit
from ablab.stats.verdicts import Rules, detectable

# More runs would hardly improve the estimate of the noise, and planning must be quick.
_MAX_RUNS = 200
Measure = Callable[[Cells], float | None]


@dataclass(frozen=True)
class PowerForecast:
    """The smallest change that a planned study detects with 80 % power."""

    effect: float
    """Size of that change, in the metric's units."""
    sd: float
    """Run-to-run standard deviation about arm and seed means; about arm means if the arms have no
    seeds in common.
    """
    seeds: int
    """Number of seeds of each arm."""
    revision: str
    """Revision of the study that `sd` comes from."""
    adaptive: bool
    """Whether `seeds` is a maximum."""


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
) -> tuple[float, str] | None:
    """Return the run-to-run standard deviation of a metric, and the revision it comes from.

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
        content = _readable(record)
        if content is None or content.study.metric != metric or remaining <= 0:
            continue
        runs = next((p.runs for p in content.parts if p.label == part), ())[:remaining]
        remaining -= len(runs)
        keys = (run.key for run in runs)
        table = ResultTable(arms_of(runs), runs, read_results(home.root, keys))
        sd = measure(table.values(metric))
        if sd is not None:
            return sd, record.revision
    return None


def _readable(record: StudyRecord) -> StudyContent | None:
    """Return the content of a record; None if another version of ablab wrote it."""
    try:
        return record.read()
    except UserError:
        return None


def power_forecasts(home: Home, name: str, plan: StudyPlan) -> list[PowerForecast | None]:
    """Return the smallest change that each part of the study `name` can detect.

    None for a part if no noise is known for its label, if it has no change, or if it has too few
    seeds for a verdict.
    """
    return [_Forecaster(home, name, part).forecast() for part in plan.parts]


@dataclass(frozen=True)
class _Forecaster:
    """Forecasts what one part of a study detects."""

    home: Home
    name: str
    part: PartPlan

    @property
    def seeds(self) -> int:
        """Number of seeds of each arm, at most."""
        return len(self.part.study.seed_list())

    @property
    def rules(self) -> Rules:
        """Rules of the study, without its margin."""
        study = self.part.study
        return Rules(0.0, looks_of(study), sign=METRICS[study.metric].sign)

    def noise(self, measure: Measure) -> tuple[float, str] | None:
        """Return the noise floor of the part, and the revision it comes from."""
        metric = self.part.study.metric
        return noise_floor(self.home, self.name, metric, self.part.label, measure)

    def forecast(self) -> PowerForecast | None:
        """Return the largest of the effects that paired and unpaired comparisons detect."""
        if self.seeds < MIN_SEEDS:
            return None
        study = self.part.study
        contrasts, first = _contrasts(self.part.plan)
        streams = {arm: study.replicates.get(arm, 0) for arm in first.values()}
        unpaired = [c for c in contrasts if len({streams[arm] for arm in c.weights}) > 1]
        candidates = [
            self._paired(contrasts, unpaired),
            self._unpaired(contrasts, unpaired),
        ]
        detected = [candidate for candidate in candidates if candidate is not None]
        if not detected:
            return None
        effect, sd, revision = max(detected)
        return PowerForecast(effect, sd, self.seeds, revision, study.adaptive is not None)

    def _paired(
        self, contrasts: list[Contrast], unpaired: list[Contrast]
    ) -> tuple[float, float, str] | None:
        """Return effect, noise and revision for the contrasts within one stream of seeds."""
        if len(unpaired) == len(contrasts):
            return None
        noise = self.noise(about_both)
        if noise is None:
            return None
        # The tests of unpaired contrasts count in Holm's procedure as well.
        questions = [replace(c, kind="total") if c in unpaired else c for c in contrasts]
        effect = detectable(questions, self.seeds, noise[0], self.rules)
        return None if effect is None else (effect, *noise)

    def _unpaired(
        self, contrasts: list[Contrast], unpaired: list[Contrast]
    ) -> tuple[float, float, str] | None:
        """Return the same for contrasts between streams that have no seed in common."""
        if not unpaired:
            return None
        noise = self.noise(about_arms)
        if noise is None:
            return None
        rules = self.rules
        family = sum(contrast.kind != "interaction" for contrast in contrasts)
        target = PowerTarget(family, rules.level, rules.power, rules.looks)
        squares = max(sum(w**2 for w in contrast.weights.values()) for contrast in unpaired)
        # Two samples add two degrees of freedom with each seed.
        variance = noise[0] ** 2 * squares
        return (smallest_found(Noise(variance, 2.0), self.seeds, target), *noise)


def _contrasts(plan: Plan) -> tuple[list[Contrast], dict[str, str]]:
    """Return the contrasts between unequal arms, and by arm the first of equal value."""
    equal = first_by_runs(plan.runs)
    first = {arm.name: equal.get(arm.name, arm.name) for arm in plan.arms}
    contrasts = [replace(c, weights=merged(c.weights, first)) for c in plan.contrasts]
    return [contrast for contrast in contrasts if contrast.weights], first
