"""Gathers the contrasts of all studies in homes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.lr_surface import surface_of
from ablab.analysis.result_table import ResultTable
from ablab.analysis.summarise import summarise
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.errors import UserError
from ablab.evidence.contrast import DIGEST, EvidenceContrast, Origin, Setting, opposite
from ablab.evidence.flow import flow
from ablab.evidence.net_change import NetChange, net_change
from ablab.metrics import METRICS
from ablab.records.home import Home
from ablab.records.run_record import Record
from ablab.records.study_content import Arm, PartContent
from ablab.records.study_record import StudyRecord, revisions, study_names
from ablab.stats.inference.error_terms import Estimates
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.procedure import Procedure
from ablab.stats.inference.table import Table
from ablab.stats.inference.verdict_types import Rules, Verdict

_LEVEL = 0.05  # of the verdicts of a usual study
_PILOT = "@pilot"


def gather(homes: Iterable[Home]) -> tuple[list[EvidenceContrast], list[str]]:
    """Return the contrasts of all revisions of all studies, and what was left out, in words.

    A contrast counts if all its runs are finished, none diverged, and every arm has four seeds or
    more. Of contrasts of the same runs, and of those whose runs are all among the runs of another
    one in the same setting, one is kept.
    """
    contrasts: list[EvidenceContrast] = []
    left_out: list[str] = []
    for home in homes:
        for record in _records(home):
            try:
                contrasts += contrasts_of(summarise(record), home)
            except UserError as error:
                left_out.append(f"{record.name}:{record.revision}: {error}")
    return distinct(contrasts), left_out


def _records(home: Home) -> Iterator[StudyRecord]:
    for name in study_names(home):
        if not name.endswith(_PILOT):
            yield from revisions(home, name)


def distinct(contrasts: Iterable[EvidenceContrast]) -> list[EvidenceContrast]:
    """Return the contrasts without those that others contain: the same runs in the same setting, or
    fewer of them.
    """
    kept: list[EvidenceContrast] = []
    for contrast in sorted(contrasts, key=lambda each: -len(each.runs)):
        if not any(_contains(other, contrast) for other in kept):
            kept.append(contrast)
    return sorted(kept, key=lambda each: (each.origin.study, each.origin.revision))


def _contains(whole: EvidenceContrast, other: EvidenceContrast) -> bool:
    if (whole.change, whole.metric) != (other.change, other.metric) or not other.runs:
        return False
    if whole.runs.keys() == other.runs.keys():
        return True
    same = whole.setting.identity == other.setting.identity
    return same and whole.runs.keys() >= other.runs.keys()


def contrasts_of(summary: StudySummary, home: Home) -> list[EvidenceContrast]:
    """Return the contrasts of one revision of a study that count as evidence."""
    return [contrast for part in summary.parts for contrast in _part_contrasts(summary, part, home)]


def _part_contrasts(
    summary: StudySummary, part: PartSummary, home: Home
) -> Iterator[EvidenceContrast]:
    table = ResultTable.of(part.content, summary.results)
    estimates = _estimates(part, table)
    for effect, contrast in zip(part.effects, part.content.contrasts, strict=True):
        estimate = estimates.get(contrast.name)
        change = net_change(part.content.arms, contrast.weights, part.baseline)
        if contrast.kind == "interaction" or estimate is None or change is None:
            continue
        if not _counts(effect):
            continue
        setting = _setting(part.content, change, home.root)
        origin = replace(origin_of(summary), part=part.label, effect=contrast.name)
        runs = _run_weights(table, table.weights(contrast.weights), change.sign)
        verdict = _common_verdict(effect, part)
        usual = replace(effect, verdict=verdict)
        evidence = _evidence(usual, estimate, change, (setting, origin, part.metric))
        if evidence.is_usable:
            yield replace(evidence, runs=runs)


def _common_verdict(effect: EffectSummary, part: PartSummary) -> Verdict | None:
    """Return the verdict that a study without a `helps_level` of its own gives, so that what helps
    is not held to more than what hurts.
    """
    usual = part.content.study.helps_level >= _LEVEL
    if usual or effect.verdict != "inconclusive":
        return effect.verdict
    if effect.p_holm is None or effect.estimate is None:
        return effect.verdict
    better = METRICS[part.metric].sign * effect.estimate > 0
    return "helps" if better and effect.p_holm < _LEVEL else effect.verdict


def _counts(effect: EffectSummary) -> bool:
    known = effect.verdict not in (None, "diverged") and effect.low is not None
    return known and not effect.missing and effect.seeds >= MIN_SEEDS


def _estimates(part: PartSummary, table: ResultTable) -> dict[str, Estimates]:
    """Return the estimates by name of the effect, with the error terms of the study's verdicts and
    the error of tuning.
    """
    questions = [
        replace(
            contrast,
            weights=table.weights(contrast.weights),
            parts=tuple(table.weights(weights) for weights in contrast.parts),
        )
        for contrast in part.content.contrasts
    ]
    questions = [question for question in questions if question.weights]
    cells = {
        cell: value
        for cell, value in table.values(part.metric).items()
        if cell[0] not in table.missing
    }
    if not cells or not questions:
        return {}
    rules = Rules(part.margin or 0.0, sign=METRICS[part.metric].sign)
    surface = surface_of(part.content.study, part.tuning)
    procedure = Procedure(questions, rules, 1, table.diverged, surface)
    procedure.look(Table.of(cells))
    pairs = zip(questions, procedure.estimates, strict=True)
    return {question.name: each for question, each in pairs if each is not None}


def _evidence(
    effect: EffectSummary,
    estimate: Estimates,
    change: NetChange,
    place: tuple[Setting, Origin, str],
) -> EvidenceContrast:
    assert effect.low is not None
    assert effect.high is not None
    assert effect.verdict is not None
    setting, origin, metric = place
    removal = change.sign < 0
    low, high = (-effect.high, -effect.low) if removal else (effect.low, effect.high)
    return EvidenceContrast(
        change=change.name,
        kind=change.kind,
        setting=setting,
        origin=origin,
        metric=metric,
        estimate=change.sign * float(estimate.value[0]),
        error=float(estimate.error[0]),
        dof=float(estimate.dof[0]),
        low=low,
        high=high,
        seeds=effect.seeds,
        verdict=opposite(effect.verdict) if removal else effect.verdict,
        margin=effect.margin,
    )


def _run_weights(table: ResultTable, weights: Mapping[str, float], sign: int) -> dict[str, float]:
    runs = {}
    for arm, weight in weights.items():
        keys = [run.key for run, _ in table.finished if run.arm == arm]
        for key in keys if weight else ():
            runs[key[:DIGEST]] = sign * weight / len(keys)
    return runs


def origin_of(summary: StudySummary) -> Origin:
    """Return where the results of a study come from."""
    sources = summary.sources
    return Origin(
        study=summary.study,
        revision=summary.revision,
        command=sources.command,
        numerics=sources.numerics,
        version=sources.version,
        commit=sources.commit or "",
    )


def _setting(part: PartContent, change: NetChange, home: Path) -> Setting:
    study = part.study
    arm = _reference_arm(part, change)
    dims = _dims(part, arm, home)
    recipe = study.recipe.model_dump(mode="json", exclude_defaults=True)
    recipe.pop("lr", None)
    data = study.data.model_dump(mode="json", exclude_defaults=True)
    tokenizer = study.data.tokenizer.model_dump(mode="json", exclude_none=True)
    corpus = {**data, "source": study.data.source}
    corpus.pop("tokenizer", None)
    nuisance = study.content().get("nuisance")
    return Setting(
        context=change.context,
        layers=dims.get("layers"),
        width=dims.get("width"),
        heads=dims.get("heads"),
        context_length=dims.get("context"),
        parameters=arm.parameters,
        compute=_rounded(arm.training_flops),
        tokens=arm.tokens,
        budget=flow({study.budget.kind: study.budget.amount}),
        match=study.match or "",
        corpus=flow(corpus),
        tokenizer=flow(tokenizer),
        recipe=flow(recipe),
        lr=arm.recipe.get("lr"),
        tuned=study.tune is not None,
        nuisance=flow(nuisance) if nuisance else "",
    )


def _reference_arm(part: PartContent, change: NetChange) -> Arm:
    """Return the arm without the change, or the baseline where there are many."""
    named = [arm for arm in part.arms if arm.expression == change.context]
    baseline = [arm for arm in part.arms if arm.name == part.baseline]
    return (*named, *baseline, *part.arms)[0]


def _dims(part: PartContent, arm: Arm, home: Path) -> Mapping[str, Any]:
    """Return the sizes of an arm: those of its runs, or else those in the study."""
    for run in part.runs:
        if run.arm == arm.name and (spec := Record(home, run.key).spec) is not None:
            return spec.dims
    return part.study.model.model_dump()


def _rounded(value: float | None) -> float | None:
    """Return a value as a table keeps it, so that settings there and here are equal."""
    return None if value is None else float(f"{value:.4g}")
