"""The first points that trials try: they fill the space of options evenly, and are the same for
every arm.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import lcm, prod
from typing import Any

import numpy as np
from scipy.stats import qmc

from ablab.spec.tune import Range, Space
from ablab.tracking.optuna.study import Interval

Point = dict[str, Any]


def even_points(space: Space, count: int) -> list[Point]:
    """Return `count` points, which depend on the arguments alone.

    The values of a single option are evenly spaced and include both ends. With lists only, no
    combination is repeated and each value occurs as often as the others or once more; if there are
    exactly `count` combinations, each occurs once, in order. With ranges, the points are a Latin
    hypercube.
    """
    lists = {name: values for name, values in space.items() if not isinstance(values, Range)}
    if len(lists) == len(space):
        return _combinations(lists, count)
    if len(space) == 1:
        positions = np.linspace(0, 1, count).reshape(-1, 1)
    else:
        positions = qmc.LatinHypercube(len(space), rng=0).random(count)
    return [
        {name: _at(space[name], u) for name, u in zip(space, row, strict=True)}
        for row in positions.tolist()
    ]


def _combinations(lists: Mapping[str, Sequence[Any]], count: int) -> list[Point]:
    """Return `count` combinations of the values of lists."""
    if prod(map(len, lists.values())) == count:
        return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    random = np.random.default_rng(0)
    # The first list keeps its order.
    orders = [
        _order(len(values), count, random if i else None) for i, values in enumerate(lists.values())
    ]
    rows = _balanced([len(order) for order in orders], count)
    if len(lists) == 1:
        rows = sorted(rows, key=lambda row: orders[0][row[0]])
    return [
        {
            name: values[order[i]]
            for (name, values), order, i in zip(lists.items(), orders, row, strict=True)
        }
        for row in rows
    ]


def _balanced(sizes: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Return the first `count` combinations of indices below `sizes`, in a balanced order.

    No combination is repeated, and every prefix contains each index as often as the others or once
    more. All indices advance together, modulo their size; an index that would meet the same others
    a second time skips a step.
    """
    rows: list[tuple[int, ...]] = [() for _ in range(count)]
    before = 1
    for size in sizes:
        period = lcm(before, size)  # after which the same indices would meet
        rows = [
            (*rows[i % before], (i + i % (before * size) // period) % size) for i in range(count)
        ]
        before *= size
    return rows


def _order(size: int, count: int, random: np.random.Generator | None) -> list[int]:
    """Return the order in which the values of a list of `size` take their turns.

    The values that occur once more than the others come first; they are evenly spaced along the
    list. `random` shuffles both groups, so that two lists do not rise together.
    """
    extra = count if count < size else count % size
    first = [round(i * (size - 1) / max(1, extra - 1)) for i in range(extra)]
    rest = [i for i in range(size) if i not in first]
    if random is not None:
        first = random.permutation(first).tolist()
        rest = random.permutation(rest).tolist()
    return [int(i) for i in (*first, *rest)]


def _at(values: Sequence[Any] | Range, position: float) -> Any:
    """Return the value at a relative position from 0 to 1."""
    if not isinstance(values, Range):
        return values[min(int(position * len(values)), len(values) - 1)]
    if values.log:
        value = values.low * (values.high / values.low) ** position
    else:
        value = values.low + (values.high - values.low) * position
    return float(np.clip(value, values.low, values.high))


def intervals(values: Any) -> Any:
    """Return a range as an interval, and a list unchanged."""
    return Interval(values.low, values.high, values.log) if isinstance(values, Range) else values
