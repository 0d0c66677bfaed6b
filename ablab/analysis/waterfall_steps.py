"""The way from the first arm to the last in steps, one per change: what the waterfall shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ablab.analysis.effects import EffectSummary
from ablab.analysis.summary import PartSummary
from ablab.design.layout import Contrast
from ablab.metrics import METRICS

_IN, _OUT = " (in)", " (out)"
# Designs whose steps sum to the whole.
COMPLETE = ("path", "shapley")
# Designs whose steps have an order of their own.
_ORDERED = ("path", "one_in_one_out")
_ROUNDING = 1e-9  # as a share of the first arm's mean


@dataclass(frozen=True)
class Step:
    """What one change does to the metric."""

    name: str
    """Name of the change."""
    estimate: float
    """Difference of the arms' means, as in all steps."""
    low: float | None = None
    """Lower end of the 95 % interval that the verdict goes by."""
    high: float | None = None
    """Upper end."""
    decided: bool = False
    """Whether the change helps or hurts."""
    rest: bool = False
    """Whether it is no change, but what the changes do together."""


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
    """Decides how many digits are shown."""
    design: str
    """Kind of the design."""
    verdicts_from: Literal["all runs", "an earlier look", "complete arms"]
    """The runs that the verdicts and their intervals were computed from."""


def steps_of(summary: PartSummary) -> Steps | None:
    """Return the steps of a part of a study.

    None where it has no two ends, where the levels of its factors are no steps between them, or
    where one of the arms has no mean (yet).
    """
    pairs = list(zip(summary.content.contrasts, summary.effects, strict=False))
    design = summary.content.study.design
    total = next((contrast for contrast, effect in pairs if effect.kind == "total"), None)
    if total is None:
        return None
    end = max(total.weights, key=total.weights.__getitem__)
    start = min(total.weights, key=total.weights.__getitem__)
    changes = [(contrast, effect) for contrast, effect in pairs if effect.kind == "change"]
    # Levels of a factor are alternatives, and need not lead from one end to the other: such
    # effects are no parts of the whole.
    if getattr(design, "factors", None) and not all(
        _leads(contrast, start, end) for contrast, _ in changes
    ):
        return None
    means = {arm.name: arm.mean for arm in summary.arms if arm.mean is not None}
    estimates = [
        (_difference(contrast.weights, means), effect)
        for contrast, effect in changes
        if not effect.name.endswith(_OUT)
    ]
    whole = _difference(total.weights, means)
    steps = [_step(value, effect) for value, effect in estimates if value is not None]
    if whole is None or len(steps) < len(estimates):
        return None
    if design.kind not in _ORDERED:
        steps.sort(key=lambda step: METRICS[summary.metric].as_loss(step.estimate))
    rounding = _ROUNDING * abs(means[start])
    rest = whole - sum(step.estimate for step in steps)
    if design.kind not in COMPLETE and abs(rest) > rounding:
        steps.append(Step("together (interactions)", rest, rest=True))
    differs = any(
        abs((effect.estimate or 0.0) - (value or 0.0)) > rounding for value, effect in estimates
    )
    partial = "an earlier look" if summary.looks else "complete arms"
    return Steps(
        start=start,
        first=means[start],
        end=end,
        changes=steps,
        spread=_spread([effect for _, effect in estimates]),
        design=design.kind,
        verdicts_from=partial if differs else "all runs",
    )


def _leads(contrast: Contrast, start: str, end: str) -> bool:
    """Whether a change leads from one end to the other."""
    return contrast.weights.get(end, 0.0) > 0.0 > contrast.weights.get(start, 0.0)


def _difference(weights: Mapping[str, float], means: Mapping[str, float]) -> float | None:
    """The contrast of the arms' means; None where an arm that it needs has none."""
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
