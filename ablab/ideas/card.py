"""The answer to an idea, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.ideas.ledger import Decision, Entry
from ablab.metrics import METRICS
from ablab.stats.inference.verdicts import Verdict

EXIT_STATUS: Mapping[Decision, int] = {"keep": 0, "discard": 10, "inconclusive": 11}
"""The exit status of `ablab try --exit-code` by decision."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class CostRatio(_Frozen):
    """A cost with an idea divided by the cost without it."""

    value: float | None
    """The ratio; None where it is not known."""
    low: float | None = None
    """Lower end of the 95 % interval of a cost that was timed."""
    high: float | None = None
    """Upper end."""
    why: str = ""
    """Why the cost is not compared."""


class ContextEffect(_Frozen):
    """The effect of an idea in one model."""

    context: str
    """The model expression that the idea was tried in."""
    verdict: Verdict | None
    """The verdict of the study; None while it is not known. `helps` means that p is below twice the
    level of the idea, which is one-sided.
    """
    estimate: float | None
    """The metric with the idea minus without it."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end."""
    p: float | None
    """Two-sided p, corrected for the looks and for the number of contexts."""
    seeds: int
    """Seeds of each arm."""
    seeds_needed: int | None
    """Seeds that would settle an inconclusive effect; None where that is not the reason, or more
    than 10,000.
    """
    costs: Mapping[str, CostRatio]
    """What the idea costs, by cost."""


class Card(_Frozen):
    """The answer to one idea."""

    version: Literal[1] = 1
    """Version of this form. Later versions add keys; one that changes a key has another number."""
    idea: str
    """The change, as terms of a model expression."""
    decision: Decision
    """`keep`: helps in at least one context and hurts in none. `discard`: hurts or is equivalent in
    all. `inconclusive`: anything else.
    """
    number: int
    """Number of the idea in the ledger of the home."""
    level: float
    """Level of its one-sided test, which keeps the false discovery rate of the ledger."""
    discoveries: int
    """Ideas that were kept before it was registered."""
    metric: str
    """The metric."""
    better: str
    """Which values of the metric are better: `lower` or `higher`."""
    margin: float | None
    """Effects within the margin count as equivalent to zero, in units of the metric."""
    detectable: float | None
    """Smallest effect that is detected with 80 % power at the last planned number of seeds."""
    effects: Sequence[ContextEffect]
    """The effect in each context."""
    notes: Sequence[str]
    """Remarks on contexts and replaced plugins."""
    settle: Sequence[str]
    """What would settle an inconclusive idea."""
    study: str
    """Name of the study in the home."""
    file: str
    """The study file, which reproduces the result."""
    command: str
    """The command that reproduces the result."""
    report: str | None
    """The report of the study, an HTML page; None where the home is only read."""


def decide(verdicts: Sequence[Verdict | None]) -> Decision:
    """Return the decision that follows from the verdicts in all contexts.

    An arm that diverged counts as one that hurts.
    """
    hurts = {"hurts", "diverged"}
    if "helps" in verdicts and not hurts & set(verdicts):
        return "keep"
    if all(verdict in hurts or verdict == "equivalent" for verdict in verdicts):
        return "discard"
    return "inconclusive"


@dataclass(frozen=True)
class Places:
    """Where the study of an idea is."""

    file: str
    """The study file."""
    command: str
    """The command that runs it."""
    report: str | None
    """The report; None if there is none."""


def make_card(summary: StudySummary, entry: Entry, places: Places, notes: Sequence[str]) -> Card:
    """Return the card of an idea whose study is finished.

    Args:
        summary: the results of its study.
        entry: its entry in the ledger.
        places: where the study is.
        notes: remarks on the contexts and on replaced plugins.

    """
    (part,) = summary.parts
    contexts = entry.attempt.contexts
    baselines = _diverged_baselines(part, contexts)
    effects = [
        _effect(context, effect) for context, effect in zip(contexts, part.effects, strict=True)
    ]
    decision = "inconclusive" if baselines else decide([each.verdict for each in effects])
    settle = _settling(effects, entry, part) if decision == "inconclusive" else []
    return Card(
        idea=entry.attempt.change,
        decision=decision,
        number=entry.number,
        level=entry.level,
        discoveries=entry.discoveries,
        metric=part.metric,
        better=METRICS[part.metric].pick(lower="lower", higher="higher"),
        margin=part.margin,
        detectable=part.detectable_effect,
        effects=effects,
        notes=[*notes, *(f"the baseline {name} diverged" for name in baselines)],
        settle=settle,
        study=summary.study,
        file=places.file,
        command=places.command,
        report=places.report,
    )


def _diverged_baselines(part: PartSummary, contexts: Sequence[str]) -> list[str]:
    """Return the contexts of which a run diverged without the idea."""
    return [arm.name for arm in part.arms if arm.diverged and arm.name in contexts]


def result(card: Card) -> dict[str, dict[str, Any]]:
    """Return the effects of a card as the ledger keeps them."""
    names = {"estimate", "low", "high", "verdict"}
    return {effect.context: effect.model_dump(include=names) for effect in card.effects}


def _effect(context: str, effect: EffectSummary) -> ContextEffect:
    return ContextEffect(
        context=context,
        verdict=effect.verdict,
        estimate=effect.estimate,
        low=effect.low,
        high=effect.high,
        p=effect.p_holm,
        seeds=effect.seeds,
        seeds_needed=effect.seeds_needed,
        costs={name: CostRatio(**asdict(ratio)) for name, ratio in effect.ratios.items()},
    )


def _settling(effects: Sequence[ContextEffect], entry: Entry, part: PartSummary) -> list[str]:
    """Return what would settle an inconclusive idea, in sentences."""
    lines = []
    verdicts = {effect.verdict for effect in effects}
    if "helps" in verdicts:
        helped = [effect.context for effect in effects if effect.verdict == "helps"]
        lines.append(f"it helps {' and '.join(helped)} alone: try it on your own model (--on)")
    if "depends" in verdicts:
        names = ", ".join(part.content.study.nuisance or {})
        lines.append(
            f"the effect depends on {names}: a protocol that tunes it (`tune:`) gives each arm "
            "its own"
        )
    needed = [e.seeds_needed for e in effects if e.verdict == "inconclusive" and e.seeds_needed]
    if needed:
        lines.append(
            f"{max(needed)} seeds: `--again {max(needed)}` tries it on as many new ones, as "
            "another idea of the ledger"
        )
    elif "inconclusive" in verdicts:
        lines.append("more than 10,000 seeds, or a larger margin")
    return lines
