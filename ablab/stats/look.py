"""The state of one question at one look: its estimate, interval, p-value, and whether it lies
within the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ablab.stats.effects import Effect, Estimate, Question, estimate
from ablab.stats.power import Noise, spread
from ablab.stats.sequential import nominal_alpha, overall_p
from ablab.stats.two_way import Cells, Fit, fit

_INTERVAL = 0.95


def arms_of(question: Question) -> list[str]:
    """Return the arms with nonzero weight."""
    return [arm for arm, weight in question.weights.items() if weight]


@dataclass(frozen=True)
class Tests:
    """The tests of each look: equivalence within ± `margin`, at `level` over all `looks`."""

    margin: float
    level: float
    looks: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """The state of a question at a look.

    The p-value of `effect` is the smallest of the looks so far, and `sign` is the sign of the
    estimate at that look. `is_equivalent` states whether both one-sided tests pass. `noise` is None
    without an error term. `seeds` is the smallest number of seeds among the arms.
    """

    effect: Effect
    sign: float = 0.0
    is_equivalent: bool = False
    noise: Noise | None = None
    seeds: int = 0
    paired: Effect | None = None

    def after(self, earlier: "Look | None") -> "Look":
        """Return this look with the p-value of an earlier look if that is smaller; its error rate
        is still controlled (Maurer & Bretz 2013).
        """
        if (
            earlier is None
            or earlier.effect.p is None
            or (self.effect.p is not None and self.effect.p <= earlier.effect.p)
        ):
            return self
        return replace(self, effect=replace(self.effect, p=earlier.effect.p), sign=earlier.sign)

    def without_error(self) -> "Look":
        """Return only the estimate, for a table without a planned look."""
        effect = Effect(self.effect.estimate, None, None, None, self.effect.sampling_se)
        return Look(effect, seeds=self.seeds)


class Table:
    """The values by (arm, seed) at a look: at least one, all of them finite."""

    def __init__(self, cells: Cells) -> None:
        self.values: dict[str, dict[int, float]] = {}
        for (arm, seed), value in cells.items():
            self.values.setdefault(arm, {})[seed] = value
        self.cells = cells

    @cached_property
    def fit(self) -> Fit:
        """The two-way fit, whose error term applies to all contrasts within blocks."""
        return fit(self.cells)

    @cached_property
    def dof(self) -> int:
        """Degrees of freedom that each seed after the first adds to the pooled error term."""
        return len(self.fit.arms) - len(self.fit.pattern.streams)

    def read(self, question: Question, tests: Tests) -> Look:
        """Return the state of a question, without its verdict."""
        arms = arms_of(question)
        seeds = min((len(self.values.get(arm, ())) for arm in arms), default=0)
        result, noise, pool = self._pooled(question, seeds)
        if result is None:
            result, noise, pool = self._unpaired(question)
        if result is None:
            return Look(Effect(None, None, None, None), seeds=seeds)
        effect = _effect(result, pool, tests.looks)
        if effect.low is None or noise is None:
            return Look(effect, seeds=seeds)
        low, high = result.interval(1 - 2 * nominal_alpha(tests.level, pool, tests.looks, sides=1))
        is_equivalent = (
            low is not None and high is not None and -tests.margin < low and high < tests.margin
        )
        return Look(
            effect,
            float(np.sign(result.value)),
            is_equivalent,
            noise,
            seeds,
            self._paired(question, tests.looks),
        )

    def _pooled(self, question: Question, seeds: int) -> tuple[Estimate | None, Noise | None, int]:
        """Return the estimate within blocks if the cells allow it, its noise, and the number of
        arms over which the error is pooled.
        """
        result = estimate(self.fit, question.weights, question.parts)
        unit = self.fit.pattern.contrast(question.weights)
        if result is None or unit is None or self.fit.sd is None:
            return result, None, 2
        variance = self.fit.sd**2
        run_noise = spread(question) * variance
        between_draws = max(0.0, (result.sampling_error or 0.0) ** 2 - run_noise / seeds)
        return (
            result,
            Noise(
                variance * unit[1] * seeds, self.dof, len(question.parts), run_noise, between_draws
            ),
            self.dof + 1,
        )

    def _unpaired(self, question: Question) -> tuple[Estimate | None, Noise | None, int]:
        """Return the estimate between streams that have no seed in common, or None if an arm has no
        run.

        This is Welch's t (1947) with Satterthwaite's degrees of freedom (1946), on the weighted
        sums of each stream by seed.
        """
        sums = [self._sums(question.weights, stream) for stream in self.fit.pattern.streams]
        samples = [sample for sample in sums if sample is not None]
        if not set(arms_of(question)) <= self.values.keys() or any(
            len(sample) == 0 for sample in samples
        ):
            return None, None, 2
        value = float(sum(sample.mean() for sample in samples))
        if any(len(sample) < 2 for sample in samples):
            return Estimate(value, None, 0.0), None, 2
        variances = np.array([sample.var(ddof=1) for sample in samples])
        sizes = np.array([len(sample) for sample in samples])
        shares = variances / sizes
        dof = (
            float(shares.sum() ** 2 / (shares**2 / (sizes - 1)).sum())
            if shares.any()
            else float(sizes.min() - 1)
        )
        each = float(variances.sum() ** 2 / (variances**2).sum()) if variances.any() else 1.0
        # The correction for looks grows as arms get fewer, so that of two arms is conservative for
        # any variances.
        return (
            Estimate(value, float(np.sqrt(shares.sum())), dof),
            Noise(float(variances.sum()), each),
            2,
        )

    def _sums(self, weights: Mapping[str, float], stream: frozenset[str]) -> np.ndarray | None:
        weighted = [
            (self.values[arm], weight)
            for arm, weight in weights.items()
            if weight and arm in stream
        ]
        if not weighted:
            return None
        common = [seed for seed in weighted[0][0] if all(seed in values for values, _ in weighted)]
        return np.array(
            [sum(weight * values[seed] for values, weight in weighted) for seed in common]
        )

    def _paired(self, question: Question, looks: Sequence[int]) -> Effect | None:
        """Return the paired t test of two arms on their common seeds."""
        arms = arms_of(question)
        if len(arms) != 2 or sum(question.weights[arm] for arm in arms):
            return None
        scale = question.weights[arms[0]]
        first, second = (self.values[arm] for arm in arms)
        common = [seed for seed in first if seed in second]
        differences = scale * np.array([first[seed] - second[seed] for seed in common])
        count = len(differences)
        if count < 2:
            return None
        mean = float(differences.sum()) / count
        residual = differences - mean
        error = float(np.sqrt(residual @ residual / (count - 1) / count))
        return _effect(Estimate(mean, error, count - 1), 2, looks)


def _effect(result: Estimate, arms: int, looks: Sequence[int]) -> Effect:
    """Return the effect with interval and p-value corrected for all looks."""
    p = result.p()
    if p is None:
        return Effect(result.value, None, None, None, result.sampling_error)
    low, high = result.interval(1 - nominal_alpha(1 - _INTERVAL, arms, looks))
    return Effect(result.value, low, high, overall_p(p, arms, looks), result.sampling_error)
