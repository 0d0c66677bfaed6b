"""The full factorial: every combination of the factors' levels."""

from collections.abc import Mapping
from itertools import combinations, product
from math import prod

from ablab.design.layout import (
    Contrast,
    DesignLayout,
    Task,
    add_total,
    composition_error,
    contrast,
)
from ablab.errors import UserError
from ablab.spec.base import MAX_ARMS

Cells = Mapping[tuple[int, ...], str]


def factorial(task: Task) -> DesignLayout:
    """Return all legal combinations of the factors' levels, with their effects.

    The contrasts are the main effect of each level against the factor's first level, the total
    effect if `from` and `to` are among the combinations, and the interactions of pairs of factors.
    """
    sizes = [len(factor.levels) for factor in task.factors]
    if prod(sizes) > MAX_ARMS:
        remedy = "list fewer factors or levels"
        if max(sizes) == 2:
            remedy = "ask for kind fractional_factorial"
        raise task.error(
            f"{len(sizes)} factors have {prod(sizes)} combinations, more than {MAX_ARMS}: "
            f"{remedy}, or use leave_one_out or shapley for a list of changes"
        )
    layout = DesignLayout()
    cells: dict[tuple[int, ...], str] = {}
    errors: dict[tuple[int, ...], UserError] = {}
    # Combinations with few changes come first, so that tables begin with the reference.
    for levels in sorted(product(*map(range, sizes)), key=_changes_order):
        model = task.combination(levels)
        error = composition_error(model)
        if error is not None:
            layout.infeasible[model.expression] = str(error)
            errors[levels] = error
        else:
            cells[levels] = layout.add(model)
    _check_end(task, cells)
    _add_effects(layout, task, cells, errors)
    return layout


def _changes_order(levels: tuple[int, ...]) -> tuple[int, list[int]]:
    """Sort key: the number of factors that are not at their first level, then which they are."""
    changed = [i for i, level in enumerate(levels) if level]
    return len(changed), changed


def _check_end(task: Task, cells: Cells) -> None:
    if task.end is not None and task.model(task.end.uses).expression not in cells.values():
        raise task.error(
            f"no legal combination of the factors is `to` ({task.end.expression!r}): remove `to`"
        )


def _add_effects(
    layout: DesignLayout, task: Task, cells: Cells, errors: Mapping[tuple[int, ...], UserError]
) -> None:
    moves = [  # (factor, level), without the first levels
        (i, level)
        for i, factor in enumerate(task.factors)
        for level in range(1, len(factor.levels))
    ]
    for i, level in moves:
        factor = task.factors[i]
        main_effect = level_contrast(cells, {i: level}, factor.effect(level), "change")
        if main_effect is None:
            error = next(e for levels, e in errors.items() if levels[i] in (0, level))
            raise task.error(
                f"no two legal combinations differ in {factor.effect(level)!r} alone ({error}); "
                f"{task.remedy(error)}",
                *factor.key[1:],
            )
        layout.contrasts.append(main_effect)
    if task.end is not None and any(
        model.uses == task.start.uses for model in layout.arms.values()
    ):
        add_total(layout, task)
    for (i, level), (j, other) in combinations(moves, 2):
        if i == j:
            continue
        name = f"{task.factors[i].label(level)} × {task.factors[j].label(other)}"
        interaction = level_contrast(cells, {i: level, j: other}, name, "interaction")
        if interaction is not None:
            layout.contrasts.append(interaction)


def level_contrast(
    cells: Cells, levels: Mapping[int, int], name: str, kind: str
) -> Contrast | None:
    """Return the effect of the given levels against the first levels of their factors.

    For one factor it is the difference of two levels; for a pair of factors it is the difference
    of differences. It is averaged over the combinations of the other factors for which all cells
    exist; None if there is no such combination. `cells`: arm names by the factors' level numbers;
    `levels`: level number by factor.
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
