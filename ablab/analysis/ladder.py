"""The ladder of a study in several parts: arms' curves, effects foretold, and compute
multipliers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ablab.stats.curves import Curve, curve, multiplier
from ablab.stats.scaling import Extrapolation, outlook, paired

if TYPE_CHECKING:
    from ablab.analysis.part_result import PartResult

# Parts whose baselines spend as much, but for rounding to whole steps, are one point of the ladder.
_ALIKE = 1.01


def ladder(
    results: Sequence["PartResult"],
    contrasts: Sequence[Mapping[str, Any]],
    unlike: str | None = None,
) -> dict[str, Any]:
    """In plain JSON types: `rungs` by the baseline's training FLOPs, the `curves` of arms, the
    `outlooks` of effects, and `multipliers`. `results`: from little compute to much. `unlike`: why
    they are no ladder; then there are neither outlooks nor multipliers.
    """
    rungs = [
        result
        for i, result in enumerate(results)
        if i == 0 or result.compute > _ALIKE * results[i - 1].compute
    ]
    arms = list(dict.fromkeys(arm for result in rungs for arm, _ in result.cells))
    curves = {
        arm: curve([(r.flops[a], s, v) for r in rungs for (a, s), v in r.cells.items() if a == arm])
        for arm in arms
    }
    return {
        "rungs": [{"part": r.label, "flops": r.compute} for r in rungs],
        "curves": [_told_curve(arm, found) for arm, found in curves.items() if found is not None],
        "outlooks": [] if unlike else [_told_outlook(contrast, rungs) for contrast in contrasts],
        "multipliers": [] if unlike else _multipliers(rungs, curves),
        "unlike": unlike,
    }


def _told_curve(arm: str, found: Curve) -> dict[str, Any]:
    return {
        "arm": arm,
        "form": found.form,
        "parameters": found.parameters,
        "intervals": found.intervals(),
        "sd": found.sd,
        "dof": found.dof,
        "lowest": found.lowest,
        "highest": found.highest,
        "loss_at_highest": found.at(found.highest),
    }


def _told_outlook(contrast: Mapping[str, Any], rungs: Sequence["PartResult"]) -> dict[str, Any]:
    weights = contrast["weights"]
    found = (
        outlook([(rung.compute, rung.cells) for rung in rungs], weights)
        if rungs
        else Extrapolation(reason="no rung is done")
    )
    effects = [list(paired(rung.cells, weights).values()) for rung in rungs]
    means = [sum(values) / len(values) if values else None for values in effects]
    return {"change": contrast["name"], "kind": contrast["kind"], "effects": means, **asdict(found)}


def _multipliers(
    rungs: Sequence["PartResult"], curves: Mapping[str, Curve | None]
) -> list[dict[str, Any]]:
    """Of every arm on every rung."""
    found = []
    for rung in rungs:
        baseline = curves.get(rung.baseline)
        for arm in dict.fromkeys(arm for arm, _ in rung.cells if arm != rung.baseline):
            losses = {seed: value for (name, seed), value in rung.cells.items() if name == arm}
            if baseline is None:
                one = {
                    "value": None,
                    "low": None,
                    "high": None,
                    "reason": "the baseline has results at one compute only",
                }
            else:
                one = asdict(multiplier(baseline, rung.flops[arm], losses))
            found.append({"arm": arm, "part": rung.label, **one})
    return found
