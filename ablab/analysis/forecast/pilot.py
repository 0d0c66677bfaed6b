"""What a pilot found: the noise at neighbouring learning rates and budgets, and what it takes there
to answer the study.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

from scipy.stats import chi2, t

from ablab.analysis.result_table import ResultTable, read_results
from ablab.design.layout import Contrast
from ablab.metrics import METRICS
from ablab.plan.plan import Plan
from ablab.records.study_record import StudyRecord
from ablab.spec.margin import margin_of
from ablab.spec.study import Study
from ablab.stats.effects import mean_sd
from ablab.stats.inference.forecast import detectable, equivalence, planned_noise, primary_target
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.verdicts import Rules


@dataclass(frozen=True)
class PilotSetting:
    """The results of a pilot at one learning rate and budget."""

    label: str
    """The budget in words."""
    budget: Mapping[str, float]
    """The budget of a run, as in a study file."""
    lr: float
    """The learning rate."""
    means: tuple[float | None, float | None]
    """Mean of the metric of the baseline and of the other arm; None if a run diverged."""
    sd: float | None
    """Run-to-run standard deviation about arm and seed means; None if a run diverged."""
    dof: int
    """Its degrees of freedom."""

    @property
    def mean(self) -> float | None:
        """Mean over both arms."""
        base, other = self.means
        return None if base is None or other is None else (base + other) / 2

    @property
    def effect(self) -> float | None:
        """The other arm minus the baseline."""
        base, other = self.means
        return None if base is None or other is None else other - base


@dataclass(frozen=True)
class Noise:
    """The noise at one budget, pooled over learning rates."""

    sd: float
    """Standard deviation of a run."""
    dof: int
    """Degrees of freedom."""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `sd` if runs are normal with one variance."""
        low, high = (sqrt(self.dof / chi2.ppf(p, self.dof)) for p in (0.975, 0.025))
        return self.sd * low, self.sd * high


@dataclass(frozen=True)
class PilotProposal:
    """A budget, a learning rate and a number of seeds."""

    setting: PilotSetting
    """The budget and the learning rate."""
    noise: Noise
    """The noise at this budget."""
    margin: float
    """The margin in the metric's units."""
    seeds: int | None
    """Seeds with which a change without an effect is shown equivalent with 80 % power; None stands
    for more than 10,000.
    """
    effect: float | None
    """Smallest effect that is detected with 80 % power with so many seeds."""
    edge: bool
    """Whether the lowest loss is at the end of the learning rates that were tried."""


def pilot_setting(record: StudyRecord, part: int, lr: float, arms: tuple[str, str]) -> PilotSetting:
    """Return the results of one budget of a finished pilot study."""
    content = record.read().parts[part]
    results = read_results(record.home.root, (run.key for run in content.runs))
    table = ResultTable.of(content, results)
    values = table.values(content.study.metric, equal_arms=True)
    base, other = ([v for (arm, _), v in sorted(values.items()) if arm == name] for name in arms)
    sd, dof = None, 0
    if len(base) == len(other) and len(base) > 1:
        _, spread = mean_sd([b - a for a, b in zip(base, other, strict=True)])
        if spread is not None:
            sd, dof = spread / sqrt(2), len(base) - 1
    means = (mean_sd(base)[0], mean_sd(other)[0]) if sd is not None else (None, None)
    budget = content.study.budget.model_dump(exclude_none=True)
    return PilotSetting(content.label, budget, lr, means, sd, dof)


def pooled(settings: Sequence[PilotSetting]) -> Noise | None:
    """Return the noise of settings that differ in their learning rates alone."""
    known = [(setting.sd, setting.dof) for setting in settings if setting.sd is not None]
    dof = sum(d for _, d in known)
    return Noise(sqrt(sum(sd**2 * d for sd, d in known) / dof), dof) if dof else None


def has_turning_sign(settings: Sequence[PilotSetting]) -> bool:
    """Return whether the difference between the arms is above zero at one setting and below it at
    another: by t tests with the noise pooled at each budget, at 5 % over all settings.
    """
    signs: set[bool] = set()
    for alike in _by_budget(settings):
        noise = pooled(alike)
        if noise is None:
            continue
        bound = t.ppf(1 - 0.025 / len(settings), noise.dof) * noise.sd
        for setting in alike:
            effect = setting.effect
            if effect is not None and abs(effect) > bound * sqrt(2 / (setting.dof + 1)):
                signs.add(effect > 0)
    return len(signs) > 1


def _by_budget(settings: Sequence[PilotSetting]) -> list[list[PilotSetting]]:
    """Return the settings of each budget."""
    groups: dict[str, list[PilotSetting]] = {}
    for setting in settings:
        groups.setdefault(setting.label, []).append(setting)
    return list(groups.values())


def proposals(settings: Sequence[PilotSetting], study: Study, plan: Plan) -> list[PilotProposal]:
    """Return, for each budget, the learning rate of the lowest loss and the seeds that it takes to
    show equivalence within the margin of `study`. The cheapest comes first.

    A budget at which all runs diverged has none.
    """
    found = [_at_budget(alike, study, plan) for alike in _by_budget(settings)]
    return sorted((each for each in found if each is not None), key=_total_cost)


def _total_cost(found: PilotProposal) -> float:
    (amount,) = found.setting.budget.values()
    return inf if found.seeds is None else amount * found.seeds


def _at_budget(settings: Sequence[PilotSetting], study: Study, plan: Plan) -> PilotProposal | None:
    noise = pooled(settings)
    trained = [(setting.mean, setting) for setting in settings if setting.mean is not None]
    if noise is None or not trained:
        return None
    metric = METRICS[study.metric]
    best = min(trained, key=lambda pair: metric.as_loss(pair[0]))[1]
    margin = margin_of(study.margin, best.means[0])
    assert margin is not None
    seeds, effect = _seeds(plan.contrasts, study, noise.sd, margin)
    rates = [setting.lr for setting in settings]
    edge = best.lr in (min(rates), max(rates))
    return PilotProposal(best, noise, margin, seeds, effect, edge)


def _seeds(
    contrasts: Sequence[Contrast], study: Study, sd: float, margin: float
) -> tuple[int | None, float | None]:
    """Return the seeds that equivalence needs, and the effect that is detected with them."""
    target = primary_target(contrasts, Rules(0.0, sign=METRICS[study.metric].sign))
    noises = planned_noise(contrasts, sd)
    needed = equivalence(noises, MIN_SEEDS, margin, target).seeds_needed
    if needed is None:
        return None, None
    step = study.seed_step
    seeds = max(step * ceil(needed / step), study.fewest_seeds)
    return seeds, detectable(noises, seeds, target)
