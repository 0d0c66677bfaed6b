"""The fractional factorial: a regular fraction of the combinations of two-level factors."""

from collections.abc import Sequence

import numpy as np

from ablab.design.generators import Fraction, find_fraction
from ablab.design.layout import MOST_ARMS, Contrast, DesignLayout, Task, contrast, illegal, total

_ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")


def fractional_factorial(task: Task) -> DesignLayout:
    """The fraction's arms, both ends, main effects, and an interaction for each alias class that is
    clear of main effects.
    """
    fraction = _fraction(task)
    matrix = fraction.matrix()
    layout = DesignLayout()
    models = [task.combination([int(x > 0) for x in row]) for row in matrix]
    if not any(model.uses == task.start.uses for model in models):
        layout.add(task.start)
        layout.notes.append(_extra(task.start.expression))
    for model in models:
        if error := illegal(model):
            what = f"the fraction needs {model.expression!r}, which cannot be ({error})"
            raise task.refusal(
                f"{what}; every two factors meet at all their levels, so {task.way_out(error)}"
            )
    arms = [layout.add(model) for model in models]
    if not any(model.uses == task.goal.uses for model in models):
        layout.notes.append(_extra(task.goal.expression))
    names = [factor.label(1) for factor in task.factors]
    classes = {
        column: [f"{names[i]} × {names[j]}" for i, j in pairs]
        for column, pairs in fraction.aliased().items()
    }
    for i, factor in enumerate(task.factors):
        aliases = classes.pop(fraction.columns[i], [])
        layout.contrasts.append(
            _effect(factor.effect(1), "change", arms, 2 * matrix[:, i], aliases)
        )
    total(layout, task)
    pairs = fraction.aliased()
    for column, aliases in classes.items():
        i, j = pairs[column][0]
        layout.contrasts.append(
            _effect(aliases[0], "interaction", arms, 4 * matrix[:, i] * matrix[:, j], aliases[1:])
        )
    layout.notes = [*_notes(fraction, names), *layout.notes, *_aliases(layout.contrasts)]
    return layout


def _fraction(task: Task) -> Fraction:
    for factor in task.factors:
        if (levels := len(factor.levels)) != 2:
            what = f"a fractional factorial takes factors of two levels, not {levels}"
            raise task.refusal(
                f"{what}: list two of them, or ask for kind factorial", *factor.key[1:]
            )
    resolution = task.design.resolution
    found = find_fraction(len(task.factors), resolution, MOST_ARMS)
    if found is None:
        what = (
            f"{len(task.factors)} factors at resolution {_ROMAN[resolution]} take more than "
            f"{MOST_ARMS} arms"
        )
        lower = "" if resolution == 3 else f"ask for resolution {resolution - 1}, or "
        raise task.refusal(f"{what}: {lower}list fewer changes", "resolution")
    return found


def _effect(
    name: str, kind: str, arms: Sequence[str], signs: np.ndarray, aliases: Sequence[str]
) -> Contrast:
    """A full difference between levels (of differences, for a pair): each arm's sign over the
    number of runs.
    """
    return contrast(name, kind, zip(arms, (signs / len(arms)).tolist(), strict=True), aliases)


def _extra(name: str) -> str:
    return (
        f"{name} is not in the fraction: it is run for the total, and has no weight in the other "
        "effects"
    )


def _notes(fraction: Fraction, names: Sequence[str]) -> list[str]:
    factors, added = len(names), len(names) - fraction.basic
    if not added:
        return [
            (
                f"design: all {fraction.runs} combinations, since no fraction of {factors} "
                "factors has that resolution"
            )
        ]
    assert fraction.resolution is not None
    notes = [
        (
            f"design: 2^({factors}−{added}) fraction of resolution "
            f"{_ROMAN[fraction.resolution]}, {fraction.runs} arms"
        )
    ]
    for i in range(fraction.basic, factors):
        notes.append(f"generator: {names[i]} = {' × '.join(names[j] for j in fraction.letters(i))}")
    return [*notes, "interactions of three factors or more are assumed to be zero"]


def _aliases(contrasts: Sequence[Contrast]) -> list[str]:
    return [f"aliased: {' = '.join((c.name, *c.aliases))}" for c in contrasts if c.aliases]
