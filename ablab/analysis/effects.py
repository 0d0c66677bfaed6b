"""The effects of a study and their verdicts, from the results of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablab.analysis.result_table import ResultTable
from ablab.design.layout import Contrast
from ablab.metrics import METRICS
from ablab.records.study_content import PartContent
from ablab.spec.margin import margin_of
from ablab.spec.study import Study
from ablab.stats.costs import Ratio
from ablab.stats.effects import Effect, mean_sd
from ablab.stats.sequential import looks
from ablab.stats.verdicts import EffectVerdict, Rules, StudyVerdicts, Verdict, judge


@dataclass(frozen=True)
class RecipeEffect:
    """An effect where every arm is trained with a recipe of one kind."""

    effect: Effect
    """Estimate, interval and p."""
    p_holm: float | None
    """Adjusted p."""
    verdict: Verdict | None
    """Verdict; None where it is not known."""


@dataclass(frozen=True)
class RecipeComparison:
    """An effect with one recipe for all arms, and with each arm's own, on the same seeds."""

    seeds: int
    """Number of seeds of each arm."""
    one: RecipeEffect
    """The effect with one recipe for all arms."""
    own: RecipeEffect
    """The effect with the best recipe of each arm."""


@dataclass(frozen=True)
class EffectSummary:
    """The effect of a change on the metric: with the change minus without."""

    name: str
    """The change, the pair of changes of an interaction, or the whole."""
    kind: str
    """`change`, `interaction` or `total`."""
    estimate: float | None
    """Estimate in the metric's units; None where it cannot be estimated."""
    low: float | None
    """Lower end of the 95 % interval, unadjusted for the number of effects."""
    high: float | None
    """Upper end."""
    p: float | None
    """Two-sided p."""
    sampling_se: float | None = None
    """Standard error from drawing a part of the orders; see `ablab.stats.effects.Effect`."""
    p_holm: float | None = None
    """p adjusted by Holm's procedure over the changes, or over the interactions."""
    verdict: Verdict | None = None
    """Verdict; None while runs are missing, or with one seed."""
    real: bool = False
    """Whether an equivalent effect is distinguishable from zero all the same."""
    margin: float | None = None
    """Effects within the margin count as equivalent to zero, in the metric's units."""
    seeds: int = 0
    """Seeds of its arms, the fewest."""
    seeds_needed: int | None = None
    """Seeds that would settle an inconclusive effect."""
    paired: Effect | None = None
    """Paired t of the two arms by themselves, a check for unequal variances."""
    missing: bool = False
    """Whether runs of its arms are to come."""
    unpaired: bool = False
    """Whether its arms have different seeds."""
    shared: RecipeComparison | None = None
    """The effect with one recipe for all arms, where such runs were made."""
    aliases: tuple[str, ...] = ()
    """Effects that the arms cannot distinguish from it."""
    costs: Mapping[str, float | None] = field(default_factory=dict)
    """By cost, the cost with the change over that without."""
    cost_intervals: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    """95 % intervals of the costs that were timed."""
    cost_reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a cost is not compared."""

    @property
    def title(self) -> str:
        """The name, with the aliases behind it."""
        return f"{self.name} (= {' = '.join(self.aliases)})" if self.aliases else self.name

    @property
    def ratios(self) -> dict[str, Ratio]:
        """Ratios by cost with their intervals, or why there are none."""
        ratios = {}
        for name, value in self.costs.items():
            low, high = self.cost_intervals.get(name) or (None, None)
            ratios[name] = Ratio(value, low, high, self.cost_reasons.get(name, ""))
        return ratios

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        shared = None
        if self.shared is not None:
            pair = {name: getattr(self.shared, name) for name in ("one", "own")}
            shared = {"seeds": self.shared.seeds} | {
                name: {**asdict(e.effect), "p_holm": e.p_holm, "verdict": e.verdict}
                for name, e in pair.items()
            }
        return {**asdict(self), "shared": shared}


@dataclass(frozen=True)
class Findings:
    """The effects of a study, and the error they are judged by."""

    effects: list[EffectSummary]
    """Effects in the order of the design's contrasts."""
    sd: float | None
    """Run-to-run standard deviation about arm and seed means, over all arms."""
    dof: int
    """Its degrees of freedom."""
    noise_floor: float | None
    """Standard deviation of the baseline over its seeds."""
    detectable: float | None
    """Smallest effect of a change that is detected with 80 % power."""
    margin: float | None
    """Effects within the margin count as equivalent to zero."""


# Verdict between arms of equal value.
_EQUAL = EffectVerdict(Effect(0.0, 0.0, 0.0, 1.0), 1.0, "equivalent", False, None, 0, None)


def findings(part: PartContent, table: ResultTable, shared: ResultTable | None = None) -> Findings:
    """Judge every effect of a part of a study.

    Args:
        part: what the study's record says of the part.
        table: results of its runs.
        shared: results of the runs with one recipe for all arms, if there are such runs.

    """
    metric = METRICS[part.study.metric]
    mean, noise_floor = mean_sd(table.of_arm(part.baseline, metric.name))
    margin = margin_of(part.study.margin, mean)
    rules = Rules(margin or 0.0, looks_of(part.study), sign=metric.sign)
    judges = _Judge(metric.name, part.contrasts)
    final, so_far = judges.verdicts(table, rules)
    recipes = judges.recipes(table, shared, replace(rules, looks=()))
    streams = part.study.replicates
    effects = []
    for i, contrast in enumerate(part.contrasts):
        missing = any(arm in table.missing for arm in judges.contrast(table, contrast).weights)
        verdict = (so_far if missing else final).effects[i]
        arms = [arm for arm, weight in contrast.weights.items() if weight]
        effect = replace(
            _effect(contrast, verdict, missing=missing),
            margin=margin,
            unpaired=len({streams.get(arm, 0) for arm in arms}) > 1,
            shared=recipes[i] if recipes else None,
        )
        effects.append(effect)
    error = final if final.sd is not None else so_far
    return Findings(effects, error.sd, error.dof, noise_floor, error.detectable, margin)


def looks_of(study: Study) -> tuple[int, ...]:
    """Return the numbers of seeds at which a study decides whether to add more; () if fixed."""
    adaptive = study.adaptive
    return looks(adaptive.start, adaptive.max) if adaptive else ()


@dataclass(frozen=True)
class _Judge:
    """Judges contrasts by a metric."""

    metric: str
    contrasts: Sequence[Contrast]

    def verdicts(self, table: ResultTable, rules: Rules) -> tuple[StudyVerdicts, StudyVerdicts]:
        """Return the verdicts on complete arms, and the estimates from all runs so far.

        While a study adds seeds both are the same: what it sees at a look is complete.
        """
        so_far = self._judge(table, table.values(self.metric), rules)
        if rules.looks or not table.missing:
            return so_far, so_far
        values = table.values(self.metric)
        complete = {cell: value for cell, value in values.items() if cell[0] not in table.missing}
        return self._judge(table, complete, rules), so_far

    def recipes(
        self, table: ResultTable, shared: ResultTable | None, rules: Rules
    ) -> list[RecipeComparison] | None:
        """Return each effect with one recipe for all and with each arm's own, on the same seeds.

        None until all of these runs are finished.
        """
        if shared is None:
            return None
        seeds = {run.seed for run in shared.runs}
        own = table.on_seeds(seeds)
        if shared.missing or own.missing:
            return None
        pairs = zip(
            self._judge(shared, shared.values(self.metric), rules).effects,
            self._judge(own, own.values(self.metric), rules).effects,
            strict=True,
        )
        return [RecipeComparison(len(seeds), *map(_recipe_effect, pair)) for pair in pairs]

    def contrast(self, table: ResultTable, contrast: Contrast) -> Contrast:
        """Return a contrast of the arms that have values; empty between equal arms.

        Between equal arms that diverged it stays as it is.
        """
        weights = table.weights(contrast.weights)
        if not weights and table.diverged & set(contrast.weights):
            return contrast
        parts = tuple(table.weights(part) for part in contrast.parts)
        return replace(contrast, weights=weights, parts=parts)

    def _judge(
        self, table: ResultTable, values: Mapping[tuple[str, int], float], rules: Rules
    ) -> StudyVerdicts:
        contrasts = [self.contrast(table, contrast) for contrast in self.contrasts]
        verdicts = judge(values, [c for c in contrasts if c.weights], rules, table.diverged)
        effects = iter(verdicts.effects)
        return replace(
            verdicts, effects=tuple(next(effects) if c.weights else _EQUAL for c in contrasts)
        )


def _effect(contrast: Contrast, verdict: EffectVerdict, *, missing: bool) -> EffectSummary:
    summary = EffectSummary(
        contrast.name,
        contrast.kind,
        **asdict(verdict.effect),
        seeds=verdict.seeds,
        paired=verdict.paired,
        missing=missing,
        aliases=contrast.aliases,
    )
    if missing:
        return summary
    return replace(
        summary,
        p_holm=verdict.p_holm,
        verdict=verdict.verdict,
        real=verdict.real,
        seeds_needed=verdict.seeds_needed,
    )


def _recipe_effect(verdict: EffectVerdict) -> RecipeEffect:
    return RecipeEffect(verdict.effect, verdict.p_holm, verdict.verdict)
