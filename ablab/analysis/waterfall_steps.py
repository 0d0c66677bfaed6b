"""From the first family to the last in steps: what the waterfall shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.analysis.effects import EffectSummary
from ablab.analysis.summary import Summary
from ablab.metrics import METRICS

_IN, _OUT = " (in)", " (out)"
_WHOLE = {
    "path": "Each step is made on top of those above it.",
    "shapley": (
        "Each share is averaged over the orders in which the changes can be made: the shares sum "
        "to the whole."
    ),
}
_PARTS = {
    "leave_one_out": "Each bar is what the change does among all the others, in the last arm.",
    "one_in_one_out": "Each bar is what the change does alone, in the first arm.",
}
_AVERAGED = "Each bar is what the change does on average over the other changes."
_REST = (
    "These do not sum to the whole, and the hatched bar is what is left: what the changes do "
    "together."
)
_EARLIER = (
    "Bars are drawn from all seeds; a verdict that was decided at an earlier look has that "
    "look's estimate and interval."
)
_SO_FAR = (
    "Bars are drawn from all runs so far; a verdict has the estimate and the interval of the "
    "arms that are complete."
)
_NIL = 1e-9  # shares of the first arm's mean that are rounding
_PALE = "Pale: neither helps nor hurts, as far as is known."


@dataclass(frozen=True)
class Step:
    """`estimate`: from the arms' means, as all steps are. `low`, `high`: the 95 % interval of the
    change's verdict. `told`: it helps or hurts. `rest`: no change, but what the changes do
    together.
    """

    name: str
    estimate: float
    low: float | None = None
    high: float | None = None
    told: bool = False
    rest: bool = False


@dataclass(frozen=True)
class Steps:
    """From the arm `start`, whose mean is `first`, to the arm `end`. `spread`: what the digits
    shown must tell apart.
    """

    start: str
    first: float
    end: str
    changes: list[Step]
    spread: float | None
    caption: str


def steps_of(summary: Summary, content: Mapping[str, Any]) -> Steps | None:
    """The study's steps; None where it has no two ends, its factors' levels are no steps between
    them, or one of the arms has no mean (yet).
    """
    found = [
        (c, e)
        for c, e in zip(content["contrasts"], summary.effects, strict=False)
        if e.kind == "total"
    ]
    design = content["config"]["design"]
    if not found:
        return None
    whole = found[0][0]["weights"]
    end, start = max(whole, key=whole.__getitem__), min(whole, key=whole.__getitem__)
    pairs = [
        (c["weights"], e)
        for c, e in zip(content["contrasts"], summary.effects, strict=False)
        if e.kind == "change"
    ]
    # A factor's levels are alternatives, and need not lead from one end to the other: such effects
    # are no parts of the whole.
    if design.get("factors") and not all(
        own.get(end, 0.0) > 0.0 > own.get(start, 0.0) for own, _ in pairs
    ):
        return None
    means = {arm.name: arm.mean for arm in summary.arms if arm.mean is not None}
    made = [(_of(weights, means), e) for weights, e in pairs if not e.name.endswith(_OUT)]
    total = _of(whole, means)
    steps = [_step(value, effect) for value, effect in made if value is not None]
    if total is None or len(steps) < len(made):
        return None
    if design["kind"] not in ("path", "one_in_one_out"):
        steps.sort(key=lambda step: METRICS[summary.metric].as_loss(step.estimate))
    first, said = (
        means[start],
        [_WHOLE.get(design["kind"]) or _PARTS.get(design["kind"], _AVERAGED)],
    )
    left, nil = total - sum(step.estimate for step in steps), _NIL * abs(first)
    if design["kind"] not in _WHOLE and abs(left) > nil:
        steps.append(Step("together (interactions)", left, rest=True))
        said.append(_REST)
    if any(abs((effect.estimate or 0.0) - (value or 0.0)) > nil for value, effect in made):
        said.append(_EARLIER if summary.looks else _SO_FAR)
    said += [] if all(step.told or step.rest for step in steps) else [_PALE]
    return Steps(start, first, end, steps, _spread([effect for _, effect in made]), " ".join(said))


def _of(weights: Mapping[str, float], means: Mapping[str, float]) -> float | None:
    """The contrast of the arms' means; None where one that it needs has none."""
    used = {arm: weight for arm, weight in weights.items() if weight}
    return (
        sum(weight * means[arm] for arm, weight in used.items())
        if used.keys() <= means.keys()
        else None
    )


def _step(value: float, effect: EffectSummary) -> Step:
    return Step(
        effect.name.removesuffix(_IN),
        value,
        effect.low,
        effect.high,
        effect.verdict in ("helps", "hurts"),
    )


def _spread(effects: Sequence[EffectSummary]) -> float | None:
    halves = [
        (effect.high - effect.low) / 2
        for effect in effects
        if effect.low is not None and effect.high is not None
    ]
    return min(halves, default=None)
