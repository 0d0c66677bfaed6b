"""How the effects of a study depend on its nuisance factors."""

from collections.abc import Sequence
from dataclasses import dataclass

from ablab.analysis.result_table import ResultTable
from ablab.design.layout import Contrast
from ablab.design.nuisance import NuisanceDesign
from ablab.spec.study import Study
from ablab.stats.inference.dependence import judge_dependence


@dataclass(frozen=True)
class FactorDependence:
    """How an effect depends on a nuisance factor."""

    factor: str
    """Name of the factor."""
    labels: tuple[str, str]
    """Its levels in words."""
    effects: tuple[float, float]
    """The effect at each level, in the middle of the other factors."""
    p: float
    """Two-sided p of the difference between the levels."""
    p_holm: float
    """The same, adjusted over all changes, totals and factors."""
    depends: bool
    """Whether the verdict depends on the factor."""


def dependences(
    study: Study, table: ResultTable, contrasts: Sequence[Contrast], margin: float
) -> list[tuple[FactorDependence, ...]]:
    """Return how effects depend on the nuisance factors of a study.

    Args:
        study: the study.
        table: results of its runs.
        contrasts: its contrasts, between arms of unequal value. Interactions are not judged.
        margin: effects within it count as equivalent to zero.

    Returns:
        for each contrast its dependence on each factor; empty without nuisance factors, for an
        interaction, and where too few runs are finished.

    """
    result: list[tuple[FactorDependence, ...]] = [() for _ in contrasts]
    design = NuisanceDesign.of(study)
    values = {
        cell: value
        for cell, value in table.values(study.metric).items()
        if cell[0] not in table.missing
    }
    places = [
        i
        for i, contrast in enumerate(contrasts)
        if contrast.kind != "interaction" and _known(contrast, table)
    ]
    if design is None or not values or not places:
        return result
    seeds = sorted({seed for _, seed in values})
    rows = design.codes(seeds).tolist()
    judged = judge_dependence(
        values,
        [contrasts[i] for i in places],
        dict(zip(seeds, rows, strict=True)),
        margin,
    )
    for i, found in zip(places, judged, strict=True):
        result[i] = tuple(
            FactorDependence(
                name,
                design.labels[name],
                dependence.levels,
                dependence.p,
                dependence.p_holm,
                dependence.depends,
            )
            for name, dependence in zip(design.factors, found, strict=True)
            if dependence is not None
        )
    return result


def _known(contrast: Contrast, table: ResultTable) -> bool:
    """Return whether a contrast is between arms of unequal value of which none diverged."""
    arms = {arm for arm, weight in contrast.weights.items() if weight}
    return bool(arms) and not arms & (table.diverged | table.missing)
