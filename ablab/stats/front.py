"""Pareto fronts: the best of several candidates when there is more than one objective.

Every function takes `signs`, for each objective 1 if higher values are better and -1 if lower
values are.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table
from ablab.stats.two_way import Cells

K = TypeVar("K")
# Smaller differences, relative to the largest value, are due to rounding. Some objectives, such as
# the number of parameters, have no noise that would cover them.
_ROUNDING = 1e-9


def dominates(a: Sequence[float], b: Sequence[float], signs: Sequence[int]) -> bool:
    """Return whether `a` is no worse than `b` in any objective and better in at least one."""
    gains = [sign * (x - y) for x, y, sign in zip(a, b, signs, strict=True)]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


def front(values: Mapping[K, Sequence[float]], most: int, signs: Sequence[int]) -> list[K]:
    """Return at most `most` keys to examine further, ordered by the first objective.

    With one objective these are the best. With several they are those that no other dominates; if
    there are more than `most`, they are chosen at even spacing along the front, both ends included.
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
    """Return the first arm that beats `arm`, or None.

    It must be better in at least one objective and worse in none. A difference counts if its 95 %
    interval excludes zero. `tables` hold the values of each
    objective by (arm, seed).
    """
    objectives = [Table.of(cells) for cells in tables]
    for other in objectives[0].index:
        if other == arm:
            continue
        gains = [
            sign * _difference(table, other, arm)
            for table, sign in zip(objectives, signs, strict=True)
        ]
        if 1 in gains and -1 not in gains:
            return other
    return None


def _difference(table: Table, a: str, b: str) -> int:
    """Return -1 if `a` is lower than `b` beyond the 95 % interval, 1 if it is higher, else 0."""
    result = effect_of(table, {a: 1.0, b: -1.0})
    if result.estimate is None or result.low is None or result.high is None:
        return 0
    if abs(result.estimate) <= _ROUNDING * np.nanmax(np.abs(table.values)):
        return 0
    return (result.low > 0) - (result.high < 0)
