"""The error terms of contrasts within seeds, for many studies at once.

A contrast Σ weight × arm has one value per seed, which holds whatever a seed does to all arms
alike, arms of unequal variance and a seed that interacts with the change. Three error terms follow
from these values:

*Own.* The standard error of their mean, with seeds − 1 degrees of freedom: a paired t test for two
arms. It holds for every pattern of variances.

*Moderated.* Changes that weigh the same arms by equal amounts, as the main effects of a factorial
do, have equal variances unless a seed interacts with one of them. Each variance is shrunk towards
the common one by an empirical Bayes estimate with d₀ more degrees of freedom, which are found from
the spread of the variances themselves (Smyth 2004, equations 4 and 6–10). A change whose variance
stands out from the mean of the others (F test, p < 0.25) keeps its own.

*Between streams.* Arms without a common seed are compared by Welch's t (1947), with Satterthwaite's
degrees of freedom (1946), on the values of each stream.

Arrays have the shape `(studies, ...)`; a real study is the only one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from ablab.stats.effects import Effect, Question
from ablab.stats.inference.moderation import moderate
from ablab.stats.inference.table import Table
from ablab.stats.tuning.response_surface import Excess

# With fewer changes their variances say too little about their spread.
_MIN_CHANGES = 3
# A power of 80 % needs an effect as large as with this many degrees of freedom per seed, by
# simulation of 3 and of 6 changes at 4 to 12 seeds: a quarter of the changes keep their own
# variance. (`python -m benchmarks.error_rates` prints the power itself.)
_MODERATED_DOF = 1.2


@dataclass(frozen=True)
class Estimates:
    """Estimates of one contrast in each study; all arrays `(studies,)`.

    `error` is the standard error and `dof` its degrees of freedom; both are NaN where there are too
    few seeds. `variance` is that of the contrast in a single seed, without the error of sampled
    orders and of tuning. `sampling_error` is the part of the error that is due to sampling orders,
    or None.
    """

    value: np.ndarray
    error: np.ndarray
    dof: np.ndarray
    variance: np.ndarray
    seeds: int
    sampling_error: np.ndarray | None = None

    def with_excess(self, excess: Excess) -> "Estimates":
        """Return the estimates with the error of having tuned the arms from noisy trials."""
        variance, dof = excess.added_to(self.error**2, self.dof)
        return replace(self, error=np.sqrt(variance), dof=dof)

    def p(self) -> np.ndarray:
        """Return the two-sided p-values, by Student's t."""
        return np.minimum(1.0, 2 * self._tail(-np.abs(self.value)))

    def p_equivalence(self, margin: float) -> np.ndarray:
        """Return the p-values of two one-sided tests that the contrast lies within ± margin
        (Schuirmann 1987): the larger of the two.
        """
        return self._tail(np.abs(self.value) - margin)

    def half_width(self, alpha: float) -> np.ndarray:
        """Return half the width of the interval of level 1 − `alpha`."""
        equal = len(self.dof) > 0 and self.dof.min() == self.dof.max()
        dof = self.dof[0] if equal else self.dof  # the quantile is slow
        return special.stdtrit(dof, 1 - alpha / 2) * self.error

    def _tail(self, distance: np.ndarray) -> np.ndarray:
        """Return the probability that t lies below `distance / error`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(distance == 0, 0.0, distance / self.error)
        return np.where(np.isnan(self.error), np.nan, special.stdtr(self.dof, t))


def estimate_all(table: Table, questions: Sequence[Question]) -> list[Estimates | None]:
    """Return the estimates of each question, with moderated errors where they apply; None for a
    question that the runs cannot answer.
    """
    results = [own(table, question.weights, question.parts) for question in questions]
    for group in similar(questions):
        members = [(i, r) for i in group if (r := results[i]) is not None]
        if len(members) >= _MIN_CHANGES and members[0][1].seeds > 1:
            moderated = _moderated([result for _, result in members])
            for (i, _), result in zip(members, moderated, strict=True):
                results[i] = result
    return results


def planning_dof(questions: Sequence[Question]) -> list[float]:
    """Return the degrees of freedom that each seed after the first adds to each question's error
    term, for forecasts of its power within one stream.
    """
    dof = [1.0] * len(questions)
    for i in (i for group in similar(questions) for i in group):
        dof[i] = _MODERATED_DOF
    return dof


def effect_of(
    table: Table, weights: Mapping[str, float], parts: Sequence[Mapping[str, float]] = ()
) -> Effect:
    """Return the contrast Σ weight × arm of a single study, with its own error term. For `parts`
    see `ablab.stats.effects.Question`.
    """
    result = own(table, weights, parts)
    if result is None:
        return Effect(None, None, None, None)
    value = float(result.value[0])
    sampling = None if result.sampling_error is None else float(result.sampling_error[0])
    if result.seeds < 2:
        return Effect(value, None, None, None, sampling)
    half = float(result.half_width(0.05)[0])
    return Effect(value, value - half, value + half, float(result.p()[0]), sampling)


def own(
    table: Table, weights: Mapping[str, float], parts: Sequence[Mapping[str, float]] = ()
) -> Estimates | None:
    """Return the estimates of a contrast with its own error term; None if an arm has no run."""
    arms = [arm for arm, weight in weights.items() if weight]
    if not all(arm in table.index and table.present[table.index[arm]].any() for arm in arms):
        return None
    streams = table.per_seed(weights)
    counts = [values.shape[1] for values in streams]
    if not streams or min(counts) == 0:
        return None
    value = sum((values.mean(1) for values in streams), np.zeros(len(table.values)))
    sampling = _sampling_error(table, parts)
    if min(counts) < 2:
        unknown = np.full_like(value, np.nan)
        return Estimates(value, unknown, unknown, unknown, min(counts), sampling)
    variances = [values.var(1, ddof=1) for values in streams]
    squares = [v / n for v, n in zip(variances, counts, strict=True)]
    terms = [
        (square, np.full_like(value, n - 1.0)) for square, n in zip(squares, counts, strict=True)
    ]
    if sampling is not None:
        terms.append((sampling**2, np.full_like(value, len(parts) - 1.0)))
    error, dof = _satterthwaite(terms)
    return Estimates(value, error, dof, np.sum(variances, axis=0), min(counts), sampling)


def _satterthwaite(
    terms: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error and the degrees of freedom of a sum of variances, each with its
    degrees of freedom (Satterthwaite 1946).

    With few seeds and one variance far above the other their estimate is too high on average. It is
    lowered by a tenth of its distance to the fewest, so that seven arms with four seeds of their
    own err in 5.5 % of studies instead of 5.9 %.
    """
    total = np.sum([variance for variance, _ in terms], axis=0)
    if len(terms) == 1:
        return np.sqrt(total), terms[0][1]
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = total**2 / np.sum([variance**2 / dof for variance, dof in terms], axis=0)
    fewest = np.min([dof for _, dof in terms], axis=0)
    return np.sqrt(total), np.where(total > 0, fewest + 0.9 * (dof - fewest), fewest)


def _sampling_error(table: Table, parts: Sequence[Mapping[str, float]]) -> np.ndarray | None:
    """Return the standard error due to sampling orders; it is conservative, since the noise of the
    arms is part of the spread of the draws.
    """
    if len(parts) < 2:
        return None
    none = np.zeros(len(table.values))  # of a draw between equal arms
    draws = np.stack([sum((v.mean(1) for v in table.per_seed(p)), none) for p in parts])
    return draws.std(0, ddof=1) / np.sqrt(len(draws))


def similar(questions: Sequence[Question]) -> list[list[int]]:
    """Return groups of questions of one kind that weigh the same arms by equal amounts."""
    groups: dict[tuple[str, frozenset[str], float], list[int]] = {}
    for i, question in enumerate(questions):
        sizes = {arm: abs(weight) for arm, weight in question.weights.items() if weight}
        if not sizes or question.parts or question.kind == "total":
            continue
        if np.ptp(list(sizes.values())) <= 1e-9 * max(sizes.values()):
            size = round(float(next(iter(sizes.values()))), 12)
            groups.setdefault((question.kind, frozenset(sizes), size), []).append(i)
    return [group for group in groups.values() if len(group) >= _MIN_CHANGES]


def _moderated(results: Sequence[Estimates]) -> list[Estimates]:
    """Return the estimates of a group with moderated error terms."""
    seeds = results[0].seeds
    variances = np.stack([result.variance for result in results], axis=1)
    moderated, dof = moderate(variances, seeds - 1.0)
    return [
        replace(
            result,
            error=np.sqrt(moderated[:, i] / seeds),
            dof=dof[:, i],
            variance=moderated[:, i],
        )
        for i, result in enumerate(results)
    ]
