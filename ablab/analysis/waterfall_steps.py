"""The steps of the waterfall: from the first arm to the last, one for each change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary
from ablab.design.layout import Contrast
from ablab.metrics import METRICS

# Suffixes of the effects of a `one_in_one_out` design.
_IN = " (in)"
_OUT = " (out)"
# Designs whose steps sum to the total.
COMPLETE = ("path", "shapley")
# Designs that determine the order of the steps.
_ORDERED = ("path", "one_in_one_out")
VerdictSource = Literal["all runs", "common seeds", "complete arms"]
_ROUNDING = 1e-9  # relative to the mean of the first arm


@dataclass(frozen=True)
class Step:
    """The effect of one change on the metric."""

    name: str
    """Name of the change."""
    estimate: float
    """Difference of the means of the arms."""
    low: float | None = None
    """Lower end of the 95 % interval of the effect, on which the verdict is based."""
    high: float | None = None
    """Upper end."""
    decided: bool = False
    """Whether the change helps or hurts."""
    rest: bool = False
    """Whether it is not a change but the remainder that is due to interactions."""


@dataclass(frozen=True)
class Steps:
    """The steps from one arm to another."""

    start: str
    """Name of the first arm."""
    first: float
    """Its mean."""
    end: str
    """Name of the last arm."""
    changes: list[Step]
    """The steps."""
    spread: float | None
    """Standard deviation that determines the digits."""
    design: str
    """Kind of the design."""
    verdicts_from: VerdictSource
    """The runs that the verdicts and their intervals were computed from."""


def steps_of(summary: PartSummary) -> Steps | None:
    """Return the steps of a part of a study.

    None without a total, if factors have levels that are no steps, or if an arm has no mean (yet).
    """
    pairs = list(zip(summary.content.contrasts, summary.effects, strict=False))
    total = next((contrast for contrast, effect in pairs if effect.kind == "total"), None)
    if total is None:
        return None
    changes = [(contrast, effect) for contrast, effect in pairs if effect.kind == "change"]
    end = max(total.weights, key=total.weights.__getitem__)
    start = min(total.weights, key=total.weights.__getitem__)
    # Levels of a factor are alternatives, which need not lead from the first arm to the last. The
    # effects of such levels do not sum to the total.
    design = summary.content.study.design
    contrasts = [contrast for contrast, _ in changes]
    if getattr(design, "factors", None) and not _all_lead(contrasts, start, end):
        return None
    means = {arm.name: arm.mean for arm in summary.arms if arm.mean is not None}
    difference = _difference(total.weights, means)
    estimates = [
        (_difference(contrast.weights, means), effect)
        for contrast, effect in changes
        if not effect.name.endswith(_OUT)
    ]
    steps = [_step(value, effect) for value, effect in estimates if value is not None]
    if difference is None or len(steps) < len(estimates):
        return None
    rounding = _ROUNDING * abs(means[start])
    return Steps(
        start=start,
        first=means[start],
        end=end,
        changes=_in_order(steps, summary, difference, rounding),
        spread=_spread([effect for _, effect in estimates]),
        design=design.kind,
        verdicts_from=_verdicts_from(summary, estimates, rounding),
    )


def _verdicts_from(
    summary: PartSummary,
    estimates: Sequence[tuple[float | None, EffectSummary]],
    rounding: float,
) -> VerdictSource:
    """Return the runs that the estimates of the effects must come from, given those of all runs."""
    deviations = [abs((e.estimate or 0.0) - (value or 0.0)) for value, e in estimates]
    if max(deviations, default=0.0) <= rounding:
        return "all runs"
    return "common seeds" if summary.looks else "complete arms"


def _in_order(
    steps: list[Step], summary: PartSummary, difference: float, rounding: float
) -> list[Step]:
    """Return the steps in the order of the design, or else the best first, with the remainder of
    the difference between the two ends.
    """
    design = summary.content.study.design.kind
    ordered = list(steps)
    if design not in _ORDERED:
        ordered.sort(key=lambda step: METRICS[summary.metric].as_loss(step.estimate))
    rest = difference - sum(step.estimate for step in ordered)
    if design not in COMPLETE and abs(rest) > rounding:
        ordered.append(Step("together (interactions)", rest, rest=True))
    return ordered


def _all_lead(contrasts: Sequence[Contrast], start: str, end: str) -> bool:
    """Return whether all changes lead from the first arm to the last."""
    return all(c.weights.get(end, 0.0) > 0.0 > c.weights.get(start, 0.0) for c in contrasts)


def _difference(weights: Mapping[str, float], means: Mapping[str, float]) -> float | None:
    """Return the contrast of the means; None if an arm that it needs has no mean."""
    weighted = {arm: weight for arm, weight in weights.items() if weight}
    if not weighted.keys() <= means.keys():
        return None
    return sum(weight * means[arm] for arm, weight in weighted.items())


def _step(estimate: float, effect: EffectSummary) -> Step:
    decided = effect.verdict in ("helps", "hurts")
    return Step(effect.name.removesuffix(_IN), estimate, effect.low, effect.high, decided)


def _spread(effects: Sequence[EffectSummary]) -> float | None:
    halves = [
        (effect.high - effect.low) / 2
        for effect in effects
        if effect.low is not None and effect.high is not None
    ]
    return min(halves, default=None)
