"""Points that fill a space of options evenly: where trials begin, the same for every arm."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import lcm, prod
from typing import Any

import numpy as np
from scipy.stats import qmc

from ablab.spec.tune import Range, Space

Point = dict[str, Any]


def spread(space: Space, count: int) -> list[Point]:
    """`count` points, always the same. One option: evenly, both ends among them. Lists: no
    combination twice, and each value as often as the others or once more; with as many
    combinations, each once in their order. With ranges: a Latin hypercube.
    """
    lists = {name: values for name, values in space.items() if not isinstance(values, Range)}
    if len(lists) == len(space):
        return _combinations(lists, count)
    if len(space) == 1:
        places = np.linspace(0, 1, count).reshape(-1, 1)
    else:
        places = qmc.LatinHypercube(len(space), rng=0).random(count)
    return [
        {name: _at(space[name], u) for name, u in zip(space, row, strict=True)}
        for row in places.tolist()
    ]


def _combinations(lists: Mapping[str, Sequence[Any]], count: int) -> list[Point]:
    if prod(map(len, lists.values())) == count:
        return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    random = np.random.default_rng(0)
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
    """The first `count` combinations of numbers below `sizes`, in an order that repeats none and
    whose every beginning has each number as often as the others or once more: all go round
    together, and a number that would meet the same others again skips a step.
    """
    rows: list[tuple[int, ...]] = [() for _ in range(count)]
    before = 1
    for size in sizes:
        again = lcm(before, size)
        rows = [
            (*rows[i % before], (i + i % (before * size) // again) % size) for i in range(count)
        ]
        before *= size
    return rows


def _order(size: int, count: int, random: np.random.Generator | None) -> list[int]:
    """In which order a list's values take their turns: first those that the last round still meets,
    evenly along the list. `random` shuffles, lest two lists rise together.
    """
    more = count if count < size else count % size
    first = [round(i * (size - 1) / max(1, more - 1)) for i in range(more)]
    rest = [i for i in range(size) if i not in first]
    parts = (
        [first, rest]
        if random is None
        else [random.permutation(part).tolist() for part in (first, rest)]
    )
    return [int(i) for part in parts for i in part]


def _at(values: Sequence[Any] | Range, place: float) -> Any:
    """The value at a place from 0 to 1."""
    if not isinstance(values, Range):
        return values[min(int(place * len(values)), len(values) - 1)]
    if values.log:
        found = values.low * (values.high / values.low) ** place
    else:
        found = values.low + (values.high - values.low) * place
    return float(np.clip(found, values.low, values.high))
