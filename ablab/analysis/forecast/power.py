"""The power of a planned study, from the noise of runs that are recorded already."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ablab.analysis.effects import rules_of
from ablab.analysis.forecast.noise_floor import (
    Measure,
    NoiseFloor,
    about_arms,
    about_both,
    noise_floor,
)
from ablab.design.layout import Contrast
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.plan.plan import PartPlan, Plan, StudyPlan
from ablab.records.home import Home
from ablab.spec.margin import margin_of
from ablab.stats.effects import mean_sd
from ablab.stats.inference.forecast import (
    EquivalenceForecast,
    detectable,
    detectable_dependence,
    equivalence,
    planned_noise,
    primary_target,
)
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.power import Noise, PowerTarget


@dataclass(frozen=True)
class PowerForecast:
    """What a planned study can tell: the smallest change that it detects with 80 % power, and
    whether it shows with 80 % power that a change without an effect is equivalent.
    """

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
    margin: float | None = None
    """Margin in the metric's units; None if the baseline's mean is not recorded."""
    share: str = ""
    """What the margin is a share of (`0.5 % of gpt2's mean`); empty if it is absolute."""
    equivalence: EquivalenceForecast | None = None
    """How well a change without an effect is shown to be equivalent; None without a margin."""
    shows_equivalence: bool = True
    """Whether it is with 80 % power, or nothing is known of it."""
    dependence: float | None = None
    """Smallest difference between a change's effects at the levels of a nuisance factor that is
    detected with 80 % power; None without such factors.
    """


def power_forecasts(home: Home, name: str, plan: StudyPlan) -> list[PowerForecast | None]:
    """Return what each part of the study `name` can tell.

    None for a part if no noise is known for its label, if it has no change, or if it has too few
    seeds for a verdict.
    """
    return [_Forecaster(home, name, part).forecast() for part in plan.parts]


@dataclass(frozen=True)
class _Comparisons:
    """The changes with one kind of error term."""

    noises: list[Noise]
    floor: NoiseFloor


@dataclass(frozen=True)
class _Forecaster:
    """Forecasts what one part of a study tells."""

    home: Home
    name: str
    part: PartPlan

    def forecast(self) -> PowerForecast | None:
        """Return what the least precise of the paired and unpaired comparisons tell."""
        study = self.part.study
        seeds = len(study.seed_list())
        if seeds < MIN_SEEDS:
            return None
        contrasts, first = _contrasts(self.part.plan)
        streams = {arm: study.replicates.get(arm, 0) for arm in first.values()}
        unpaired = [c for c in contrasts if len({streams[arm] for arm in c.weights}) > 1]
        both = [self._paired(contrasts, unpaired), self._unpaired(unpaired)]
        target = primary_target(contrasts, rules_of(study, None))
        detected = [
            (effect, comparisons)
            for comparisons in both
            if comparisons and (effect := detectable(comparisons.noises, seeds, target)) is not None
        ]
        if not detected:
            return None
        effect, least = max(detected, key=lambda pair: pair[0])
        forecast = PowerForecast(
            effect, least.floor.sd, seeds, least.floor.revision, study.adaptive is not None
        )
        noises = [noise for _, comparisons in detected for noise in comparisons.noises]
        if study.nuisance is not None:
            found = detectable_dependence(noises, seeds, len(study.nuisance), target)
            forecast = replace(forecast, dependence=found)
        return self._with_equivalence(forecast, least.floor, noises, target)

    def _with_equivalence(
        self,
        forecast: PowerForecast,
        floor: NoiseFloor,
        noises: Sequence[Noise],
        target: PowerTarget,
    ) -> PowerForecast:
        """Return the forecast with what it says of changes without an effect."""
        study = self.part.study
        baseline = self.part.plan.baseline
        mean, _ = mean_sd(floor.table.of_arm(baseline, study.metric))
        margin = margin_of(study.margin, mean)
        if not margin:
            return forecast
        shown = equivalence(noises, forecast.seeds, margin, target)
        return replace(
            forecast,
            margin=margin,
            share=f"{study.margin} of {baseline}'s mean" if isinstance(study.margin, str) else "",
            equivalence=shown,
            shows_equivalence=shown.power >= target.power,
        )

    def _paired(self, contrasts: list[Contrast], unpaired: list[Contrast]) -> _Comparisons | None:
        """Return the changes within one stream of seeds."""
        floor = self._floor(about_both) if len(unpaired) < len(contrasts) else None
        if floor is None:
            return None
        # Which changes share an error term depends on the paired ones alone.
        paired = [contrast for contrast in contrasts if contrast not in unpaired]
        return _Comparisons(planned_noise(paired, floor.sd), floor)

    def _unpaired(self, unpaired: list[Contrast]) -> _Comparisons | None:
        """Return the contrasts between streams that have no seed in common."""
        floor = self._floor(about_arms) if unpaired else None
        if floor is None:
            return None
        squares = [sum(w**2 for w in contrast.weights.values()) for contrast in unpaired]
        # Two samples add two degrees of freedom with each seed.
        return _Comparisons([Noise(floor.sd**2 * square, 2.0) for square in squares], floor)

    def _floor(self, measure: Measure) -> NoiseFloor | None:
        metric = self.part.study.metric
        return noise_floor(self.home, self.name, metric, self.part.label, measure)


def _contrasts(plan: Plan) -> tuple[list[Contrast], dict[str, str]]:
    """Return the contrasts between unequal arms, and by arm the first of equal value."""
    equal = first_by_runs(plan.runs)
    first = {arm.name: equal.get(arm.name, arm.name) for arm in plan.arms}
    contrasts = [replace(c, weights=merged(c.weights, first)) for c in plan.contrasts]
    return [contrast for contrast in contrasts if contrast.weights], first
