"""Fronts: which of several are the best when there is more than one objective, all to be made small."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ablab.stats.effects import Cells, effect, fit

K = TypeVar("K")


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b`, and somewhere better (Pareto)."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def front(values: Mapping[K, Sequence[float]], most: int) -> list[K]:
    """The keys to look at again, at most `most`, by their first value. One objective: the lowest. Several: those that none
    dominates; of more than `most`, evenly along the first objective, both ends among them.
    """
    ordered = sorted(values, key=lambda key: tuple(values[key]))
    if not ordered or len(values[ordered[0]]) == 1:
        return ordered[:most]
    best = [key for key in ordered if not any(dominates(values[other], values[key]) for other in values)]
    if len(best) <= most:
        return best
    places = [round(i * (len(best) - 1) / max(1, most - 1)) for i in range(most)]
    return [best[i] for i in places]


def beaten(tables: Sequence[Cells], arm: str) -> str | None:
    """The first arm that beats `arm`: better in one objective at least, and worse in none, each beyond its 95 % interval with
    one error term an objective; None where there is none. `tables`: an objective's values by (arm, seed).
    """
    fits = [fit(cells) for cells in tables]
    for other in fits[0].arms:
        if other == arm:
            continue
        found = [effect(fitted, {other: 1.0, arm: -1.0}) for fitted in fits]
        if any(e.high is not None and e.high < 0 for e in found) and not any(e.low is not None and e.low > 0 for e in found):
            return other
    return None
