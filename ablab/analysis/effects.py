"""The effects of a study and their verdicts, from the results of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from ablab.analysis.dependences import FactorDependence, dependences
from ablab.analysis.effect_summary import EffectSummary, RecipeComparison, RecipeEffect
from ablab.analysis.result_table import ResultTable
from ablab.analysis.within_levels import within_levels
from ablab.design.layout import Contrast
from ablab.metrics import METRICS
from ablab.records.study_content import PartContent
from ablab.spec.margin import margin_of
from ablab.spec.study import Study
from ablab.stats.effects import Effect, mean_sd
from ablab.stats.inference.influence import Turn, turn
from ablab.stats.inference.sequential import looks
from ablab.stats.inference.verdict_types import TuningError
from ablab.stats.inference.verdicts import EffectVerdict, Rules, StudyVerdicts, judge
from ablab.stats.two_way import fit


@dataclass(frozen=True)
class Findings:
    """The effects of a study and their error term."""

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


def findings(
    part: PartContent,
    table: ResultTable,
    one_recipe: ResultTable | None = None,
    tuning: TuningError | None = None,
) -> Findings:
    """Judge every effect of a part of a study.

    Args:
        part: content of the study's record on the part.
        table: results of its runs.
        one_recipe: results of the runs with one recipe for all arms, if there are such runs.
        tuning: error of the arms' tuning, if it is known.

    """
    metric = METRICS[part.study.metric]
    mean, _ = mean_sd(table.of_arm(part.baseline, metric.name))
    quiet = within_levels(part.study, table.values(metric.name))
    baseline = table.first.get(part.baseline, part.baseline)
    _, noise_floor = mean_sd([value for (arm, _), value in quiet.items() if arm == baseline])
    margin = margin_of(part.study.margin, mean)
    rules = rules_of(part.study, margin)
    judges = _Judge(metric.name, part.contrasts, tuning)
    final, so_far = judges.verdicts(table, rules)
    recipes = judges.recipes(table, one_recipe, replace(rules, looks=()))
    turns = judges.turns(table, rules, final)
    streams = part.study.replicates
    judged = [judges.contrast(table, contrast) for contrast in part.contrasts]
    depending = dependences(part.study, table, judged, margin or 0.0)
    effects = []
    for i, contrast in enumerate(part.contrasts):
        missing = any(arm in table.missing for arm in judged[i].weights)
        verdict = (so_far if missing else final).effects[i]
        arms = [arm for arm, weight in contrast.weights.items() if weight]
        effect = replace(
            _effect(contrast, verdict, missing=missing),
            margin=margin,
            unpaired=len({streams.get(arm, 0) for arm in arms}) > 1,
            shared=recipes[i] if recipes else None,
            turns=() if missing else turns[i],
        )
        effects.append(effect if effect.verdict is None else _depending(effect, depending[i]))
    error = final if final.sd is not None else so_far
    sd = fit(quiet).sd if part.study.nuisance and quiet else error.sd
    return Findings(effects, sd, error.dof, noise_floor, error.detectable, margin)


def rules_of(study: Study, margin: float | None) -> Rules:
    """Return the rules of a study. Without a margin no effect counts as equivalent to zero."""
    return Rules(
        margin or 0.0,
        looks_of(study),
        helps_level=study.helps_level,
        sign=METRICS[study.metric].sign,
    )


def looks_of(study: Study) -> tuple[int, ...]:
    """Return the numbers of seeds at which a study decides whether to add more; () if fixed."""
    adaptive = study.adaptive
    if adaptive is None:
        return ()
    return looks(adaptive.start, adaptive.max, study.seed_step)


@dataclass(frozen=True)
class _Judge:
    """Judges contrasts by a metric."""

    metric: str
    contrasts: Sequence[Contrast]
    tuning: TuningError | None = None

    def verdicts(self, table: ResultTable, rules: Rules) -> tuple[StudyVerdicts, StudyVerdicts]:
        """Return the verdicts on complete arms, and the estimates from all runs so far.

        For an adaptive study both are the same, since its looks use complete arms only.
        """
        so_far = self._judge(table, table.values(self.metric), rules)
        if rules.looks or not table.missing:
            return so_far, so_far
        return self._judge(table, self._complete(table), rules), so_far

    def turns(
        self, table: ResultTable, rules: Rules, verdicts: StudyVerdicts
    ) -> list[tuple[Turn, ...]]:
        """Return the seeds without which the verdict on each effect would be another.

        The rest of the seeds is judged as a fixed study, also if the study was adaptive.
        """
        values = self._complete(table)
        turns: list[list[Turn]] = [[] for _ in verdicts.effects]
        for seed in sorted({seed for _, seed in values}):
            rest = {cell: value for cell, value in values.items() if cell[1] != seed}
            without = self._judge(table, rest, replace(rules, looks=()))
            for i, effect in enumerate(without.effects):
                turned = turn(verdicts.effects[i].verdict, effect, seed)
                turns[i] += [turned] if turned else []
        return [tuple(turned) for turned in turns]

    def _complete(self, table: ResultTable) -> dict[tuple[str, int], float]:
        """Return the values of the arms of which no run is missing."""
        values = table.values(self.metric)
        return {cell: value for cell, value in values.items() if cell[0] not in table.missing}

    def recipes(
        self, table: ResultTable, one_recipe: ResultTable | None, rules: Rules
    ) -> list[RecipeComparison] | None:
        """Return each effect with one recipe for all arms and with the best of each arm.

        Both are computed on the same seeds. None until all of these runs are finished.
        """
        if one_recipe is None:
            return None
        seeds = {run.seed for run in one_recipe.runs}
        best_recipes = table.on_seeds(seeds)
        if one_recipe.missing or best_recipes.missing:
            return None
        pairs = zip(
            replace(self, tuning=None)
            ._judge(one_recipe, one_recipe.values(self.metric), rules)
            .effects,
            self._judge(best_recipes, best_recipes.values(self.metric), rules).effects,
            strict=True,
        )
        return [RecipeComparison(len(seeds), *map(_recipe_effect, pair)) for pair in pairs]

    def contrast(self, table: ResultTable, contrast: Contrast) -> Contrast:
        """Return a contrast of the arms that have values; empty between equal arms.

        A contrast between equal arms that diverged is returned unchanged.
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
        weighted = [contrast for contrast in contrasts if contrast.weights]
        verdicts = judge(values, weighted, rules, table.diverged, self.tuning)
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


def _depending(effect: EffectSummary, found: tuple[FactorDependence, ...]) -> EffectSummary:
    """Return the effect with its dependence on nuisance factors, which replaces its verdict."""
    if not any(each.depends for each in found):
        return replace(effect, dependences=found)
    return replace(effect, dependences=found, verdict="depends", seeds_needed=None, turns=())


def _recipe_effect(verdict: EffectVerdict) -> RecipeEffect:
    return RecipeEffect(verdict.effect, verdict.p_holm, verdict.verdict)
