"""Shapley values: the effect of each change, averaged over the orders of all changes.

Source: Shapley 1953, "A value for n-person games".
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from math import factorial

from ablab.arch.composition.expression import Model
from ablab.design.layout import (
    Contrast,
    DesignLayout,
    Task,
    add_total,
    composition_error,
    contrast,
)
from ablab.errors import UserError

_MOST_EXACT = 6
_TRIES = 200
Subset = frozenset[int]
Order = Sequence[int]


class _Cells:
    """The arms with each subset of the changes, and whether they are legal."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.count = len(task.factors)
        self.errors: dict[Subset, UserError | None] = {}

    def model(self, subset: Subset) -> Model:
        """Return the arm with these changes."""
        return self.task.combination([int(i in subset) for i in range(self.count)])

    def is_legal(self, subset: Subset) -> bool:
        """Return whether the plugins of a subset can be combined."""
        if subset not in self.errors:
            self.errors[subset] = composition_error(self.model(subset))
        return self.errors[subset] is None

    def is_possible(self, order: Order) -> bool:
        """Return whether all steps of an order are legal."""
        return all(self.is_legal(frozenset(order[:n])) for n in range(self.count + 1))

    @property
    def error(self) -> UserError:
        """The first reason why a subset is illegal."""
        return next(error for error in self.errors.values() if error is not None)


def shapley(task: Task) -> DesignLayout:
    """Return Shapley values, which sum to the total effect, each as a contrast of arm means."""
    cells = _Cells(task)
    layout = DesignLayout()
    layout.add(task.start)
    if cells.count <= _MOST_EXACT:
        values = _exact(cells, layout)
    else:
        values = _sampled(cells, layout)
    layout.contrasts += values
    add_total(layout, task)
    return layout


def _no_order_error(cells: _Cells) -> UserError:
    return cells.task.error(
        f"no order in which the changes could be made one by one was found ({cells.error}); "
        f"{cells.task.remedy(cells.error)}"
    )


def _exact(cells: _Cells, layout: DesignLayout) -> list[Contrast]:
    """Average over all legal orders.

    The weight of a step S → S + i is the share of orders that contain it: the number of ways to
    reach S times the number of ways to continue from S + i to the set of all changes.
    """
    subsets = [
        frozenset(c)
        for size in range(cells.count + 1)
        for c in combinations(range(cells.count), size)
    ]
    ways_to, ways_from = _count_ways(cells, subsets)
    orders = ways_from[frozenset()]
    layout.infeasible |= {
        cells.model(s).expression: str(e) for s, e in cells.errors.items() if e is not None
    }
    if orders == 0:
        raise _no_order_error(cells)
    if orders < factorial(cells.count):
        layout.notes.append(
            f"Shapley values over the {orders} of {factorial(cells.count)} orders whose "
            "every step is legal"
        )
    else:
        layout.notes.append(f"Shapley values over all {orders} orders")
    arms = {s: layout.add(cells.model(s)) for s in subsets if ways_to[s] * ways_from[s]}
    values = []
    for i, factor in enumerate(cells.task.factors):
        steps = [
            (s, ways_to[s] * ways_from[s | {i}] / orders)
            for s in subsets
            if i not in s and ways_to[s] * ways_from[s | {i}]
        ]
        terms = [(arms[s | {i}], w) for s, w in steps] + [(arms[s], -w) for s, w in steps]
        values.append(contrast(factor.effect(1), "change", terms))
    return values


def _count_ways(
    cells: _Cells, subsets: Sequence[Subset]
) -> tuple[dict[Subset, int], dict[Subset, int]]:
    """Return the number of legal orders from no change to each subset, and from it to all changes.

    `subsets` must be sorted by size.
    """
    everything = frozenset(range(cells.count))
    ways_to = dict.fromkeys(subsets, 0)
    ways_from = dict.fromkeys(subsets, 0)
    for s in subsets:
        if cells.is_legal(s):
            ways_to[s] = sum(ways_to[s - {i}] for i in s) if s else 1
    for s in reversed(subsets):
        if cells.is_legal(s):
            rest = everything - s
            ways_from[s] = sum(ways_from[s | {i}] for i in rest) if rest else 1
    return ways_to, ways_from


def _sampled(cells: _Cells, layout: DesignLayout) -> list[Contrast]:
    """Average over sampled orders, in pairs of an order and its reverse."""
    design = cells.task.design
    pairs = list(_pairs(cells, design.orders // 2, random.Random(design.seed)))
    layout.notes.append(
        f"Shapley values over {design.orders} of {factorial(cells.count)} orders, sampled in pairs "
        f"of an order and its reverse (seed {design.seed}); their intervals include the sampling "
        "error"
    )
    if any(error is not None for error in cells.errors.values()):
        layout.notes.append(f"orders with an illegal step are excluded ({cells.error})")
    arms: dict[Subset, str] = {}
    for order in (order for pair in pairs for order in pair):
        for n in range(cells.count + 1):
            subset = frozenset(order[:n])
            if subset not in arms:
                arms[subset] = layout.add(cells.model(subset))
    values = []
    for i, factor in enumerate(cells.task.factors):
        parts = [contrast("", "", _steps(i, pair, arms)).weights for pair in pairs]
        mean = contrast(
            factor.effect(1),
            "change",
            [(arm, w / len(parts)) for p in parts for arm, w in p.items()],
        )
        values.append(Contrast(mean.name, mean.kind, mean.weights, parts=tuple(parts)))
    return values


def _steps(
    i: int, orders: Sequence[Order], arms: Mapping[Subset, str]
) -> Iterable[tuple[str, float]]:
    """Yield the terms of the effect of change i at its place in each order, averaged."""
    for order in orders:
        before = frozenset(order[: order.index(i)])
        yield arms[before | {i}], 1 / len(orders)
        yield arms[before], -1 / len(orders)


def _pairs(cells: _Cells, count: int, draw: random.Random) -> Iterable[tuple[Order, Order]]:
    """Yield legal orders with their reverses.

    An order whose reverse is illegal is paired with another such order, so that all legal orders
    are equally likely.
    """
    for _ in range(count):
        first = _sample_order(cells, draw, lambda order: True)
        if cells.is_possible(first[::-1]):
            yield first, first[::-1]
        else:
            second = _sample_order(cells, draw, lambda order: not cells.is_possible(order[::-1]))
            yield first, second


def _sample_order(cells: _Cells, draw: random.Random, accept: Callable[[Order], bool]) -> Order:
    """Return a random legal order that `accept` is true for."""
    order = list(range(cells.count))
    for _ in range(_TRIES * cells.task.design.orders):
        draw.shuffle(order)
        if cells.is_possible(order) and accept(order):
            return tuple(order)
    raise _no_order_error(cells)
