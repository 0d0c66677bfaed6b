"""From the first family to the last in steps: what the waterfall shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.report.summary import Summary
from ablab.report.verdicts import EffectSummary

_IN, _OUT = " (in)", " (out)"
_WORDS = {
    "path": "Each step is made on top of those above it.",
    "shapley": "Each share is averaged over the orders in which the changes can be made: the shares sum to the whole.",
    "leave_one_out": "Each bar is what the change does among all the others, in the last arm",
    "one_in_one_out": "Each bar is what the change does alone, in the first arm",
}
_AVERAGED = "Each bar is what the change does on average over the other changes"


@dataclass(frozen=True)
class Step:
    """`half`: of its 95 % interval. `told`: it helps or hurts. `rest`: no change, but what the changes do together."""

    name: str
    estimate: float
    half: float | None
    told: bool = False
    rest: bool = False


@dataclass(frozen=True)
class Steps:
    """From the arm `start`, whose mean is `first`, to the arm `end`. `spread`: what the digits shown must tell apart."""

    start: str
    first: float
    end: str
    changes: list[Step]
    spread: float | None
    caption: str


def steps_of(summary: Summary, content: Mapping[str, Any]) -> Steps | None:
    """The study's steps; None where it has no two ends, its factors' levels are no steps between them, or one of its effects is
    not known (yet).
    """
    found = [(c, e) for c, e in zip(content["contrasts"], summary.effects, strict=False) if e.kind == "total"]
    design = content["config"]["design"]
    if not found:
        return None
    weights, total = found[0][0]["weights"], found[0][1]
    end, start = max(weights, key=weights.__getitem__), min(weights, key=weights.__getitem__)
    asked = [c["weights"] for c in content["contrasts"] if c["kind"] == "change"]
    # A factor's levels are alternatives, and need not lead from one end to the other: such effects are no parts of the whole.
    if design.get("factors") and not all(own.get(end, 0.0) > 0.0 > own.get(start, 0.0) for own in asked):
        return None
    first = next((arm.mean for arm in summary.arms if arm.name == start), None)
    changes = [e for e in summary.effects if e.kind == "change" and not e.name.endswith(_OUT)]
    if first is None or total.estimate is None or any(e.estimate is None for e in changes):
        return None
    if design["kind"] not in ("path", "one_in_one_out"):
        changes.sort(key=lambda e: e.estimate or 0.0)
    steps = [Step(e.name.removesuffix(_IN), e.estimate or 0.0, _half(e), e.verdict in ("helps", "hurts")) for e in changes]
    left = total.estimate - sum(step.estimate for step in steps)
    caption = _WORDS.get(design["kind"], _AVERAGED)
    if abs(left) > 1e-9 * abs(first):
        steps.append(Step("together (interactions)", left, None, rest=True))
        caption += "; these do not sum to the whole, and the hatched bar is what is left: what the changes do together."
    pale = "" if all(step.told or step.rest for step in steps) else " Pale: neither helps nor hurts, as far as is known."
    return Steps(start, first, end, steps, _spread(changes), caption.rstrip(".") + "." + pale)


def _half(effect: EffectSummary) -> float | None:
    return None if effect.low is None or effect.high is None else (effect.high - effect.low) / 2


def _spread(effects: Sequence[EffectSummary]) -> float | None:
    halves = [half for effect in effects if (half := _half(effect)) is not None]
    return min(halves, default=None)
