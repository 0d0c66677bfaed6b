"""Pareto fronts: which of several are the best when there is more than one objective.

Every function takes `signs`: per objective 1 if higher values are better, -1 if lower values are.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ablab.stats.effects import Cells, Fit, effect, fit

K = TypeVar("K")
# Smaller differences, as shares of the largest mean, are rounding: parameters are the same on every
# seed.
_ROUNDING = 1e-9


def dominates(a: Sequence[float], b: Sequence[float], signs: Sequence[int]) -> bool:
    """Whether `a` is no worse than `b` in every objective and better in at least one."""
    gains = [sign * (x - y) for x, y, sign in zip(a, b, signs, strict=True)]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


def front(values: Mapping[K, Sequence[float]], most: int, signs: Sequence[int]) -> list[K]:
    """The keys to look at again, at most `most`, by their first value. One objective: the best.
    Several: those that none dominates; of more than `most`, evenly along the first objective, both
    ends among them.
    """
    ordered = sorted(
        values,
        key=lambda key: tuple(-sign * x for x, sign in zip(values[key], signs, strict=True)),
    )
    if not ordered or len(signs) == 1:
        return ordered[:most]
    best = [
        key
        for key in ordered
        if not any(dominates(values[other], values[key], signs) for other in values)
    ]
    if len(best) <= most:
        return best
    places = [round(i * (len(best) - 1) / max(1, most - 1)) for i in range(most)]
    return [best[i] for i in places]


def dominated_by(tables: Sequence[Cells], arm: str, signs: Sequence[int]) -> str | None:
    """The first arm that beats `arm`: better in one objective at least, and worse in none, each
    beyond its 95 % interval with one error term an objective; None where there is none. `tables`:
    an objective's values by (arm, seed).
    """
    fits = [fit(cells) for cells in tables]
    for other in fits[0].arms:
        if other == arm:
            continue
        gains = [
            sign * _difference(fitted, other, arm) for fitted, sign in zip(fits, signs, strict=True)
        ]
        if 1 in gains and -1 not in gains:
            return other
    return None


def _difference(fitted: Fit, a: str, b: str) -> int:
    """-1 where `a` is lower than `b` beyond the 95 % interval, 1 where it is higher, 0 where that
    cannot be told.
    """
    result = effect(fitted, {a: 1.0, b: -1.0})
    if result.estimate is None or result.low is None or result.high is None:
        return 0
    if abs(result.estimate) <= _ROUNDING * max(abs(mean) for mean in fitted.means.values()):
        return 0
    return (result.low > 0) - (result.high < 0)
