"""Shapley values: each change's effect averaged over the orders in which the changes can be made
(Shapley 1953).
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from math import factorial

from ablab.arch.composition.expression import Model
from ablab.design.layout import Contrast, DesignLayout, Task, contrast, illegal, total
from ablab.errors import UserError

_MOST_EXACT = 6
_TRIES = 200
Subset = frozenset[int]
Order = Sequence[int]


class _Cells:
    """The arms with each subset of the changes, and which of them can be."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.count = len(task.factors)
        self.refused: dict[Subset, UserError | None] = {}

    def model(self, subset: Subset) -> Model:
        """The arm with these changes."""
        return self.task.combination([int(i in subset) for i in range(self.count)])

    def legal(self, subset: Subset) -> bool:
        """Whether its plugins go together."""
        if subset not in self.refused:
            self.refused[subset] = illegal(self.model(subset))
        return self.refused[subset] is None

    def possible(self, order: Order) -> bool:
        """Whether the changes can be made in that order."""
        return all(self.legal(frozenset(order[:n])) for n in range(self.count + 1))

    @property
    def error(self) -> UserError:
        """A reason why an order cannot be."""
        return next(error for error in self.refused.values() if error is not None)


def shapley(task: Task) -> DesignLayout:
    """Values that sum to the effect of all changes together. Every one is a contrast of arm
    means.
    """
    cells = _Cells(task)
    layout = DesignLayout()
    layout.add(task.start)
    if cells.count <= _MOST_EXACT:
        values = _exact(cells, layout)
    else:
        values = _sampled(cells, layout)
    layout.contrasts += values
    total(layout, task)
    return layout


def _refuse(cells: _Cells) -> UserError:
    way = cells.task.way_out(cells.error)
    return cells.task.refusal(
        f"no order in which the changes could be made one by one was found ({cells.error}); {way}"
    )


def _exact(cells: _Cells, layout: DesignLayout) -> list[Contrast]:
    """Over all legal orders. A step S → S + i lies on as many as there are ways to S times ways
    from S + i to the whole.
    """
    everything = frozenset(range(cells.count))
    subsets = [
        frozenset(c)
        for size in range(cells.count + 1)
        for c in combinations(range(cells.count), size)
    ]
    to: dict[Subset, int] = {}
    onward: dict[Subset, int] = {}
    for s in subsets:
        to[s] = (sum(to[s - {i}] for i in s) if s else 1) if cells.legal(s) else 0
    for s in reversed(subsets):
        onward[s] = (
            (sum(onward[s | {i}] for i in everything - s) if s != everything else 1)
            if cells.legal(s)
            else 0
        )
    orders = onward[subsets[0]]
    layout.infeasible |= {
        cells.model(s).expression: str(e) for s, e in cells.refused.items() if e is not None
    }
    if orders == 0:
        raise _refuse(cells)
    if orders < factorial(cells.count):
        layout.notes.append(
            f"Shapley values over the {orders} of {factorial(cells.count)} orders whose "
            "every step is legal"
        )
    else:
        layout.notes.append(f"Shapley values over all {orders} orders")
    arms = {s: layout.add(cells.model(s)) for s in subsets if to[s] * onward[s]}
    values = []
    for i, factor in enumerate(cells.task.factors):
        steps = [
            (s, to[s] * onward[s | {i}] / orders)
            for s in subsets
            if i not in s and to[s] * onward[s | {i}]
        ]
        terms = [(arms[s | {i}], w) for s, w in steps] + [(arms[s], -w) for s, w in steps]
        values.append(contrast(factor.effect(1), "change", terms))
    return values


def _sampled(cells: _Cells, layout: DesignLayout) -> list[Contrast]:
    """Over drawn orders, in pairs: an order and its reverse."""
    design = cells.task.design
    pairs = list(_pairs(cells, design.orders // 2, random.Random(design.seed)))
    drawn = (
        f"{design.orders} of {factorial(cells.count)} orders, drawn in pairs of an order and its "
        f"reverse (seed {design.seed})"
    )
    layout.notes.append(
        f"Shapley values over {drawn}; their intervals include what the draw leaves open"
    )
    if any(error is not None for error in cells.refused.values()):
        layout.notes.append(f"orders with an illegal step are left out ({cells.error})")
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
    """What change i adds where it stands in each order, on average."""
    for order in orders:
        before = frozenset(order[: order.index(i)])
        yield arms[before | {i}], 1 / len(orders)
        yield arms[before], -1 / len(orders)


def _pairs(cells: _Cells, count: int, draw: random.Random) -> Iterable[tuple[Order, Order]]:
    """Legal orders with their reverses. One whose reverse is illegal goes with another such order,
    so that every legal order keeps an equal chance.
    """
    for _ in range(count):
        first = _draw(cells, draw, lambda order: True)
        if cells.possible(first[::-1]):
            yield first, first[::-1]
        else:
            yield first, _draw(cells, draw, lambda order: not cells.possible(order[::-1]))


def _draw(cells: _Cells, draw: random.Random, wanted: Callable[[Order], bool]) -> Order:
    order = list(range(cells.count))
    for _ in range(_TRIES * cells.task.design.orders):
        draw.shuffle(order)
        if cells.possible(order) and wanted(order):
            return tuple(order)
    raise _refuse(cells)
