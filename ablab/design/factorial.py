"""The full factorial: every combination of the factors' levels."""

from collections.abc import Mapping
from itertools import combinations, product
from math import prod

from ablab.design.layout import MOST_ARMS, Contrast, DesignLayout, Task, contrast, illegal, total
from ablab.errors import UserError

Cells = Mapping[tuple[int, ...], str]


def factorial(task: Task) -> DesignLayout:
    """All legal combinations; main effects of each level against the first, all changes together
    where both ends are among the combinations, and interactions of pairs of factors.
    """
    sizes = [len(factor.levels) for factor in task.factors]
    if prod(sizes) > MOST_ARMS:
        way = (
            "ask for kind fractional_factorial"
            if max(sizes) == 2
            else "list fewer factors or levels"
        )
        what = f"{len(sizes)} factors have {prod(sizes)} combinations, more than {MOST_ARMS}"
        raise task.refusal(f"{what}: {way}, or use leave_one_out or shapley for a list of changes")
    layout = DesignLayout()
    cells: dict[tuple[int, ...], str] = {}
    refused: dict[tuple[int, ...], UserError] = {}
    # Fewest changes first, so that the table reads from the reference to the whole.
    for levels in sorted(product(*map(range, sizes)), key=_changed):
        model = task.combination(levels)
        if error := illegal(model):
            layout.infeasible[model.expression] = str(error)
            refused[levels] = error
        else:
            cells[levels] = layout.add(model)
    _check_end(task, cells)
    _add_effects(layout, task, cells, refused)
    return layout


def _changed(levels: tuple[int, ...]) -> tuple[int, list[int]]:
    changed = [i for i, level in enumerate(levels) if level]
    return len(changed), changed


def _check_end(task: Task, cells: Cells) -> None:
    if task.end is not None and task.model(task.end.uses).expression not in cells.values():
        raise task.refusal(
            f"no legal combination of the factors is `to` ({task.end.expression!r}): leave `to` out"
        )


def _add_effects(
    layout: DesignLayout, task: Task, cells: Cells, refused: Mapping[tuple[int, ...], UserError]
) -> None:
    moves = [
        (i, level)
        for i, factor in enumerate(task.factors)
        for level in range(1, len(factor.levels))
    ]
    for i, level in moves:
        factor = task.factors[i]
        found = level_contrast(cells, {i: level}, factor.effect(level), "change")
        if found is None:
            error = next(e for levels, e in refused.items() if levels[i] in (0, level))
            what = f"no two legal combinations differ in {factor.effect(level)!r} alone ({error})"
            raise task.refusal(f"{what}; {task.way_out(error)}", *factor.key[1:])
        layout.contrasts.append(found)
    if task.end is not None and any(
        model.uses == task.start.uses for model in layout.arms.values()
    ):
        total(layout, task)
    for (i, level), (j, other) in combinations(moves, 2):
        if i == j:
            continue
        name = f"{task.factors[i].label(level)} × {task.factors[j].label(other)}"
        if found := level_contrast(cells, {i: level, j: other}, name, "interaction"):
            layout.contrasts.append(found)


def level_contrast(
    cells: Cells, levels: Mapping[int, int], name: str, kind: str
) -> Contrast | None:
    """The full difference between each factor's level in `levels` and its first (for a pair: how
    much one's effect grows with the other), averaged over every combination of the other factors
    for which all the cells it needs exist; None where there is none. `cells`: arms by the factors'
    level numbers.
    """

    def corner(cell: tuple[int, ...], moved: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            (levels[i] if i in moved else 0) if i in levels else level
            for i, level in enumerate(cell)
        )

    moves = [moved for size in range(len(levels) + 1) for moved in combinations(levels, size)]
    rests = dict.fromkeys(corner(cell, ()) for cell in cells)
    complete = [rest for rest in rests if all(corner(rest, moved) in cells for moved in moves)]
    if not complete:
        return None
    terms = [
        (cells[corner(rest, moved)], (-1) ** (len(levels) - len(moved)) / len(complete))
        for rest in complete
        for moved in moves
    ]
    return contrast(name, kind, terms)
