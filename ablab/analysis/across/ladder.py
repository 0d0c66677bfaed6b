"""The ladder that the parts of a study form: curves of the arms, forecasts of the effects, and
compute multipliers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ablab.design.layout import Contrast
from ablab.stats.scaling.curves import Curve, curve
from ablab.stats.scaling.extrapolation import Extrapolation, outlook, paired
from ablab.stats.scaling.multiplier import Multiplier, multiplier

# Parts whose baselines spend the same compute, up to rounding to whole steps, are one rung.
_EQUAL_COMPUTE = 1.01
_ONE_COMPUTE = "the baseline has results at one compute only"


@dataclass(frozen=True)
class PartResult:
    """Values and compute of the arms of one part of a study. Arms that diverged are omitted."""

    label: str
    """Name of the part."""
    baseline: str
    """Arm that the others are compared with."""
    compute: float
    """Training FLOPs of one run of the baseline."""
    cells: Mapping[tuple[str, int], float]
    """Values of the metric by arm and seed."""
    flops: Mapping[str, float]
    """Training FLOPs of a run of each arm; 0 where the clock decides and no run is finished."""
    first: Mapping[str, str] = field(default_factory=dict)
    """By arm, the first arm of equal value."""

    @property
    def distinct(self) -> dict[tuple[str, int], float]:
        """The values of the first of equal arms: the same run counts once."""
        return {
            (arm, seed): value
            for (arm, seed), value in self.cells.items()
            if self.first.get(arm, arm) == arm
        }


@dataclass(frozen=True)
class Rung:
    """A rung of the ladder."""

    part: str
    """Label of the part."""
    flops: float
    """Training FLOPs of one run of the baseline."""


@dataclass(frozen=True)
class ArmCurve:
    """The metric of an arm against training FLOPs."""

    arm: str
    """Name of the arm."""
    curve: Curve
    """The fitted curve."""


@dataclass(frozen=True)
class EffectOutlook:
    """An effect up the ladder."""

    change: str
    """Name of the effect."""
    kind: str
    """`change`, `interaction` or `total`."""
    effects: list[float | None]
    """Mean effect on each rung, paired within seeds."""
    outlook: Extrapolation
    """Its slope, and its forecasts."""


@dataclass(frozen=True)
class ArmMultiplier:
    """How many times its compute the baseline would need to reach an arm's loss on a rung."""

    arm: str
    """Name of the arm."""
    part: str
    """Label of the part."""
    multiplier: Multiplier
    """The multiplier with its interval."""


@dataclass(frozen=True)
class Ladder:
    """The ladder of a study, its rungs from little compute to much."""

    rungs: list[Rung]
    """Its rungs."""
    curves: list[ArmCurve]
    """Curves of the arms that have one."""
    outlooks: list[EffectOutlook]
    """Effects up the ladder; empty where the parts are no ladder."""
    multipliers: list[ArmMultiplier]
    """Multipliers of every arm on every rung; empty likewise."""
    unlike: str | None
    """Why the parts are no ladder; None where they are one."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        outlooks = [
            {"change": o.change, "kind": o.kind, "effects": o.effects, **asdict(o.outlook)}
            for o in self.outlooks
        ]
        return {
            "rungs": [asdict(rung) for rung in self.rungs],
            "curves": [_curve_json(one) for one in self.curves],
            "outlooks": outlooks,
            "multipliers": [
                {"arm": m.arm, "part": m.part, **asdict(m.multiplier)} for m in self.multipliers
            ],
            "unlike": self.unlike,
        }


def ladder(
    results: Sequence[PartResult], contrasts: Sequence[Contrast], unlike: str | None = None
) -> Ladder:
    """Return the ladder of a study.

    Args:
        results: the parts' results, from little compute to much.
        contrasts: the effects that all parts estimate.
        unlike: why the parts are no ladder; then there are neither outlooks nor multipliers.

    """
    rungs = [
        result
        for i, result in enumerate(results)
        if i == 0 or result.compute > _EQUAL_COMPUTE * results[i - 1].compute
    ]
    arms = dict.fromkeys(arm for result in rungs for arm, _ in result.cells)
    curves = {
        arm: curve([(r.flops[a], s, v) for r in rungs for (a, s), v in r.cells.items() if a == arm])
        for arm in arms
    }
    return Ladder(
        rungs=[Rung(r.label, r.compute) for r in rungs],
        curves=[ArmCurve(arm, fit) for arm, fit in curves.items() if fit is not None],
        outlooks=[] if unlike else [_outlook(contrast, rungs) for contrast in contrasts],
        multipliers=[] if unlike else _multipliers(rungs, curves),
        unlike=unlike,
    )


def _curve_json(one: ArmCurve) -> dict[str, Any]:
    fit = one.curve
    return {
        "arm": one.arm,
        "form": fit.form,
        "parameters": fit.parameters,
        "intervals": fit.intervals(),
        "sd": fit.sd,
        "dof": fit.dof,
        "lowest": fit.lowest,
        "highest": fit.highest,
        "loss_at_highest": fit.at(fit.highest),
    }


def _outlook(contrast: Contrast, rungs: Sequence[PartResult]) -> EffectOutlook:
    cells = [(rung.compute, rung.cells) for rung in rungs]
    extrapolation = Extrapolation(reason="no rung is finished")
    if rungs:
        extrapolation = outlook(cells, contrast.weights)
    effects = [list(paired(rung.cells, contrast.weights).values()) for rung in rungs]
    means = [sum(values) / len(values) if values else None for values in effects]
    return EffectOutlook(contrast.name, contrast.kind, means, extrapolation)


def _multipliers(
    rungs: Sequence[PartResult], curves: Mapping[str, Curve | None]
) -> list[ArmMultiplier]:
    multipliers = []
    for rung in rungs:
        baseline = curves.get(rung.baseline)
        for arm in dict.fromkeys(arm for arm, _ in rung.cells if arm != rung.baseline):
            losses = {seed: value for (name, seed), value in rung.cells.items() if name == arm}
            if baseline is None:
                one = Multiplier(None, reason=_ONE_COMPUTE)
            else:
                one = multiplier(baseline, rung.flops[arm], losses)
            multipliers.append(ArmMultiplier(arm, rung.label, one))
    return multipliers
