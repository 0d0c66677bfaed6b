"""The results of studies as a small file, from which `docs/findings.md` is generated."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summarise import summarise
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.errors import UserError
from ablab.evidence.contrast import Origin
from ablab.evidence.gather import origin_of
from ablab.files import write_together
from ablab.records.home import Home
from ablab.records.study_record import StudyRecord, revisions, study_names
from ablab.report.costs import cost_phrases
from ablab.report.nuisance import depending
from ablab.report.scope import holds_for
from ablab.report.sentences import places_of

STUDIES = "studies.json"
_LEVEL = 0.05  # of the interactions that are listed
_DIGITS = 4  # significant ones


@dataclass(frozen=True)
class EffectResult:
    """An effect as a line of a table."""

    title: str
    """Name of the effect, with its aliases."""
    kind: str
    """`change`, `total` or `interaction`."""
    estimate: float | None
    """Estimate in the metric's units."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end."""
    p: float | None
    """p adjusted by Holm's procedure."""
    verdict: str
    """Verdict; empty without one."""
    depends: str
    """On what the verdict depends, in words; empty unless it does."""
    costs: str
    """Costs in words."""


@dataclass(frozen=True)
class PartResult:
    """A part of a study."""

    label: str
    """Its label; empty where it is the only one."""
    scope: str
    """What its results hold for, in words."""
    metric: str
    """Name of the metric."""
    baseline: str
    """Arm that effects are measured against."""
    mean: float | None
    """Mean of that arm."""
    sd: float | None
    """Run-to-run standard deviation about arm and seed means."""
    margin: float | None
    """Effects within the margin count as equivalent to zero."""
    seeds: int
    """Smallest number of seeds of an effect."""
    effects: tuple[EffectResult, ...]
    """Changes and totals, the largest first, and interactions other than zero."""


@dataclass(frozen=True)
class StudyResult:
    """A study."""

    origin: Origin
    """Its name, revision, command and versions."""
    question: str
    """The question that it answers."""
    runs: int
    """Number of runs and trials."""
    core_minutes: float
    """Time in training, validation and measuring costs, over all runs, in minutes."""
    parts: tuple[PartResult, ...]
    """Its parts, one at least."""


_ADAPTER = TypeAdapter(list[StudyResult])


def study_results(homes: Iterable[Home]) -> list[StudyResult]:
    """Return the latest complete revision of each study that was run at its default profile and
    without overrides.
    """
    results = {}
    for home in homes:
        for name in (name for name in study_names(home) if "@" not in name):
            for record in revisions(home, name):
                summary = _plain(record)
                if summary is not None:
                    results[name] = study_result(summary)
    return list(results.values())


def _plain(record: StudyRecord) -> StudySummary | None:
    """Return the results of a study that is complete and was run as its file says; else None."""
    content = record.read_if_possible()
    if content is None or "=" in content.sources.command:
        return None
    summary = summarise(record)
    return summary if summary.progress.complete else None


def study_result(summary: StudySummary) -> StudyResult:
    """Return the results of a study in this form."""
    seconds = sum(result.cost.busy_seconds for result in summary.results.values())
    return StudyResult(
        origin=origin_of(summary),
        question=summary.question,
        runs=summary.progress.runs,
        core_minutes=round(seconds / 60, 1),
        parts=tuple(map(_part, summary.parts)),
    )


def _part(part: PartSummary) -> PartResult:
    shown = [effect for effect in part.effects_by_size if _is_shown(effect)]
    means = {arm.name: arm.mean for arm in part.arms}
    return PartResult(
        label=part.label,
        scope=holds_for(part.content),
        metric=part.metric,
        baseline=part.baseline,
        mean=_rounded(means.get(part.baseline)),
        sd=_rounded(part.sd),
        margin=_rounded(part.margin),
        seeds=min((effect.seeds for effect in shown), default=0),
        effects=tuple(map(_effect, shown)),
    )


def _is_shown(effect: EffectSummary) -> bool:
    real = effect.p_holm is not None and effect.p_holm < _LEVEL
    return effect.kind != "interaction" or real


def _effect(effect: EffectSummary) -> EffectResult:
    turns = effect.verdict == "depends"
    return EffectResult(
        title=effect.title,
        kind=effect.kind,
        estimate=_rounded(effect.estimate),
        low=_rounded(effect.low),
        high=_rounded(effect.high),
        p=_rounded(effect.p_holm),
        verdict=effect.verdict or "",
        depends=depending(effect, places_of(effect)) if turns else "",
        costs=cost_phrases(effect.ratios) if effect.costs else "",
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def write_results(folder: Path, results: Sequence[StudyResult]) -> Path:
    """Write the results to a folder."""
    text = json.dumps([asdict(each) for each in results], indent=1, ensure_ascii=False)
    write_together(folder, {STUDIES: f"{text}\n".encode()})
    return folder / STUDIES


def read_results(folder: Path) -> list[StudyResult]:
    """Read the results of studies.

    Raises:
        UserError: if there are none, or if the file is of another version.

    """
    file = folder / STUDIES
    try:
        return _ADAPTER.validate_json(file.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{file}: there are no results (`ablab evidence --save {folder}` writes them)"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}: write it again "
            f"(`ablab evidence --save {folder}`)"
        ) from None
