"""Whether an effect depends on nuisance factors that are spread over the seeds.

Each seed has one combination of the factors' levels, coded as −1 and 1. The values of a contrast by
seed are regressed on the codes: the mean is the effect over the range of the factors, and a slope
is half of the difference that a factor makes to it. The slopes of all changes and totals for all
factors are one family, whose p-values are adjusted by Holm's procedure (1979). The residual
variances of changes that weigh the same arms alike are moderated as those of their effects are.

An effect *depends* on a factor if the slope differs from zero and a limit of the margin lies
between the 95 % intervals of the effects at the two levels. The effect is then read otherwise at
one level than at the other: better, worse, or within the margin.

Arrays have the shape `(studies, ...)`; a real study is the only one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablab.stats.effects import Question
from ablab.stats.inference.error_terms import similar
from ablab.stats.inference.moderation import moderate
from ablab.stats.inference.procedure import holm
from ablab.stats.inference.table import Table
from ablab.stats.two_way import Cells


@dataclass(frozen=True)
class Dependence:
    """How an effect depends on a nuisance factor."""

    levels: tuple[float, float]
    """The effect at the factor's first and second level, in the middle of the other factors."""
    p: float
    """Two-sided p-value of their difference."""
    p_holm: float
    """The same, adjusted over all changes, totals and factors."""
    depends: bool
    """Whether the effect is read otherwise at one level than at the other."""


def judge_dependence(
    cells: Cells, questions: Sequence[Question], codes: Mapping[int, Sequence[int]], margin: float
) -> list[tuple[Dependence | None, ...]]:
    """Return the dependence of each question on each factor; None where it is not estimable.

    Args:
        cells: values by (arm, seed).
        questions: changes and totals, each with an arm of nonzero weight.
        codes: by seed, the factors' levels as −1 and 1.
        margin: effects within it count as equivalent to zero.

    """
    seeds = sorted({seed for _, seed in cells})
    by_column = {column: codes[seed] for column, seed in enumerate(seeds)}
    found = dependences(Table.of(cells), questions, by_column)
    adjusted, depends = found.adjusted()[0], found.depends(margin)[0]
    levels = np.stack([found.at_level(0)[0], found.at_level(1)[0]], axis=-1)
    return [
        tuple(
            None
            if np.isnan(found.p[0, i, j])
            else Dependence(
                (float(levels[i, j, 0]), float(levels[i, j, 1])),
                float(found.p[0, i, j]),
                float(adjusted[i, j]),
                bool(depends[i, j]),
            )
            for j in range(found.p.shape[2])
        )
        for i in range(len(questions))
    ]


@dataclass(frozen=True)
class Dependences:
    """The dependence of each question on each factor, `(studies, questions, factors)`; NaN where it
    cannot be estimated.
    """

    mean: np.ndarray
    """The effect half-way between the levels of all factors, `(studies, questions)`."""
    slope: np.ndarray
    """Half of what the factor changes the effect by, from its first level to its second."""
    error: np.ndarray
    """Standard error of the slope."""
    level_error: np.ndarray
    """Standard error of the effect at a level, the same at both."""
    dof: np.ndarray
    """Degrees of freedom, `(studies, questions)`."""
    p: np.ndarray
    """Two-sided p-values."""

    def adjusted(self) -> np.ndarray:
        """Return the p-values adjusted over all questions and factors."""
        studies = self.p.shape[0]
        return holm(self.p.reshape(studies, -1)).reshape(self.p.shape)

    def at_level(self, which: int) -> np.ndarray:
        """Return the effects at level 0 or 1 of each factor, in the middle of the others."""
        return self.mean[..., None] + (2 * which - 1) * self.slope

    def depends(self, margin: float, level: float = 0.05) -> np.ndarray:
        """Return whether an effect depends on a factor, `(studies, questions, factors)`."""
        half = special.stdtrit(self.dof, 1 - level / 2)[..., None] * self.level_error
        first, second = self.at_level(0), self.at_level(1)
        lower, upper = np.minimum(first, second), np.maximum(first, second)
        with np.errstate(invalid="ignore"):
            parted = [
                (lower + half < limit) & (limit < upper - half) for limit in (-margin, margin)
            ]
            return (self.adjusted() < level) & np.any(parted, axis=0)


def dependences(
    table: Table, questions: Sequence[Question], codes: Mapping[int, Sequence[int]]
) -> Dependences:
    """Return the dependence of questions on nuisance factors.

    Args:
        table: values of the runs.
        questions: changes and totals. Those between arms without a common seed have none.
        codes: by column of the table, the factors' levels as −1 and 1.

    """
    factors = len(next(iter(codes.values())))
    studies = len(table.values)
    mean = np.full((studies, len(questions)), np.nan)
    slope = np.full((studies, len(questions), factors), np.nan)
    variance, dof = mean.copy(), mean.copy()
    scale, level_scale = np.full((2, len(questions), factors), np.nan)
    for i, question in enumerate(questions):
        columns = table.columns_of(question.weights)
        if len(columns) != 1 or len(columns[0]) <= factors + 1:
            continue
        design = np.array([[1, *codes[int(column)]] for column in columns[0]], float)
        if np.linalg.matrix_rank(design) < factors + 1:
            continue
        (values,) = table.per_seed(question.weights)
        covariance = np.linalg.inv(design.T @ design)
        coefficients = values @ design @ covariance  # (studies, 1 + factors)
        residual = values - coefficients @ design.T
        free = len(design) - factors - 1
        mean[:, i], slope[:, i] = coefficients[:, 0], coefficients[:, 1:]
        variance[:, i], dof[:, i] = (residual**2).sum(1) / free, free
        scale[i] = np.diag(covariance)[1:]
        # Seeds are balanced, so that mean and slope are uncorrelated.
        level_scale[i] = covariance[0, 0] + scale[i]
    for group in similar(questions):
        own = dof[0, group]
        if np.isfinite(own).all() and np.ptp(own) == 0:
            variance[:, group], dof[:, group] = moderate(variance[:, group], float(own[0]))
    error = np.sqrt(variance[..., None] * scale)
    level_error = np.sqrt(variance[..., None] * level_scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(slope) / error
    p = 2 * special.stdtr(dof[..., None], -t)
    p = np.where(np.isnan(slope), np.nan, p)
    return Dependences(mean, slope, error, level_error, dof, p)
