"""The fractional factorial: a regular fraction of the combinations of two-level factors."""

from collections.abc import Sequence

import numpy as np

from ablab.design.generators import Fraction, find_fraction
from ablab.design.layout import (
    Contrast,
    DesignLayout,
    Task,
    add_total,
    composition_error,
    contrast,
)
from ablab.spec.base import MAX_ARMS

_ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")


def fractional_factorial(task: Task) -> DesignLayout:
    """Return the arms of a fraction and both ends, with their effects.

    The contrasts are the main effects, the total effect, and one interaction for each alias class
    that contains no main effect.
    """
    fraction = _fraction(task)
    matrix = fraction.matrix()  # (runs, factors), of −1 and +1
    layout = DesignLayout()
    models = [task.combination([int(x > 0) for x in row]) for row in matrix]
    if not any(model.uses == task.start.uses for model in models):
        layout.add(task.start)
        layout.notes.append(_extra_arm_note(task.start.expression))
    for model in models:
        error = composition_error(model)
        if error is not None:
            raise task.error(
                f"the fraction needs {model.expression!r}, which is illegal ({error}); every "
                "combination of the levels of two factors occurs in a fraction, so "
                f"{task.remedy(error)}"
            )
    arms = [layout.add(model) for model in models]
    if not any(model.uses == task.goal.uses for model in models):
        layout.notes.append(_extra_arm_note(task.goal.expression))
    names = [factor.label(1) for factor in task.factors]
    classes = {
        column: [f"{names[i]} × {names[j]}" for i, j in pairs]
        for column, pairs in fraction.alias_classes().items()
    }
    for i, factor in enumerate(task.factors):
        aliases = classes.pop(fraction.columns[i], [])
        layout.contrasts.append(
            _effect(factor.effect(1), "change", arms, 2 * matrix[:, i], aliases)
        )
    add_total(layout, task)
    pairs = fraction.alias_classes()
    for column, aliases in classes.items():
        i, j = pairs[column][0]
        layout.contrasts.append(
            _effect(aliases[0], "interaction", arms, 4 * matrix[:, i] * matrix[:, j], aliases[1:])
        )
    if fraction.resolution is not None:
        layout.spare = _spare(fraction, matrix, names, arms)
    layout.notes = [*_notes(fraction, names), *layout.notes, *_aliases(layout.contrasts)]
    return layout


def _spare(
    fraction: Fraction, matrix: np.ndarray, names: Sequence[str], arms: Sequence[str]
) -> list[Contrast]:
    """Return the columns that are zero if interactions of three factors or more are: differences
    between two halves of the arms.
    """
    spare = []
    for groups in fraction.spare_columns().values():
        name, *aliases = (" × ".join(names[i] for i in factors) for factors in groups)
        signs = 2 * matrix[:, groups[0]].prod(1)
        spare.append(_effect(name, "spare", arms, signs, aliases))
    return spare


def _fraction(task: Task) -> Fraction:
    for factor in task.factors:
        if len(factor.levels) != 2:
            raise task.error(
                f"a fractional factorial takes factors of two levels, not {len(factor.levels)}: "
                "list two of them, or ask for kind factorial",
                *factor.key[1:],
            )
    resolution = task.design.resolution
    fraction = find_fraction(len(task.factors), resolution, MAX_ARMS)
    if fraction is None:
        lower = "" if resolution == 3 else f"ask for resolution {resolution - 1}, or "
        raise task.error(
            f"{len(task.factors)} factors at resolution {_ROMAN[resolution]} take more than "
            f"{MAX_ARMS} arms: {lower}list fewer changes",
            "resolution",
        )
    return fraction


def _effect(
    name: str, kind: str, arms: Sequence[str], signs: np.ndarray, aliases: Sequence[str]
) -> Contrast:
    """Return the difference between two levels, or of two such differences for a pair of factors.

    `signs`: (runs,), scaled so that the weights are the signs divided by the number of runs.
    """
    return contrast(name, kind, zip(arms, (signs / len(arms)).tolist(), strict=True), aliases)


def _extra_arm_note(name: str) -> str:
    return (
        f"{name} is not in the fraction: it is run for the total effect and has no weight in the "
        "other effects"
    )


def _notes(fraction: Fraction, names: Sequence[str]) -> list[str]:
    factors = len(names)
    added = factors - fraction.basic
    if not added:
        return [
            f"design: all {fraction.runs} combinations, since no fraction of {factors} "
            "factors has that resolution"
        ]
    assert fraction.resolution is not None
    notes = [
        f"design: 2^({factors}−{added}) fraction of resolution "
        f"{_ROMAN[fraction.resolution]}, {fraction.runs} arms"
    ]
    for i in range(fraction.basic, factors):
        notes.append(f"generator: {names[i]} = {' × '.join(names[j] for j in fraction.letters(i))}")
    return [*notes, "interactions of three factors or more are assumed to be zero"]


def _aliases(contrasts: Sequence[Contrast]) -> list[str]:
    return [f"aliased: {' = '.join((c.name, *c.aliases))}" for c in contrasts if c.aliases]
