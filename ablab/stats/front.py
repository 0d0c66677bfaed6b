"""Fronts: which of several are the best when there is more than one objective, all to be made
small.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ablab.stats.effects import Cells, Fit, effect, fit

K = TypeVar("K")
# Smaller differences, as shares of the largest mean, are rounding: parameters are the same on every
# seed.
_ROUNDING = 1e-9


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b`, and somewhere better (Pareto)."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


def front(values: Mapping[K, Sequence[float]], most: int) -> list[K]:
    """The keys to look at again, at most `most`, by their first value. One objective: the lowest.
    Several: those that none dominates; of more than `most`, evenly along the first objective, both
    ends among them.
    """
    ordered = sorted(values, key=lambda key: tuple(values[key]))
    if not ordered or len(values[ordered[0]]) == 1:
        return ordered[:most]
    best = [
        key for key in ordered if not any(dominates(values[other], values[key]) for other in values)
    ]
    if len(best) <= most:
        return best
    places = [round(i * (len(best) - 1) / max(1, most - 1)) for i in range(most)]
    return [best[i] for i in places]


def dominated_by(tables: Sequence[Cells], arm: str) -> str | None:
    """The first arm that beats `arm`: better in one objective at least, and worse in none, each
    beyond its 95 % interval with one error term an objective; None where there is none. `tables`:
    an objective's values by (arm, seed).
    """
    fits = [fit(cells) for cells in tables]
    for other in fits[0].arms:
        if other == arm:
            continue
        found = [_difference(fitted, other, arm) for fitted in fits]
        if -1 in found and 1 not in found:
            return other
    return None


def _difference(fitted: Fit, a: str, b: str) -> int:
    """-1 where `a` is lower than `b` beyond the 95 % interval, 1 where it is higher, 0 where that
    cannot be told.
    """
    found = effect(fitted, {a: 1.0, b: -1.0})
    if found.estimate is None or found.low is None or found.high is None:
        return 0
    if abs(found.estimate) <= _ROUNDING * max(abs(mean) for mean in fitted.means.values()):
        return 0
    return (found.low > 0) - (found.high < 0)
