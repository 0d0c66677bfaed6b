"""What the runs say of one question at one look: its estimate, interval, p, and whether it lies
within the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ablab.stats.effects import Cells, Effect, Estimate, Fit, Question, estimate, fit
from ablab.stats.power import Noise, spread
from ablab.stats.sequential import ever, nominal

_INTERVAL = 0.95


def arms_of(question: Question) -> list[str]:
    """Those that have weight."""
    return [arm for arm, weight in question.weights.items() if weight]


@dataclass(frozen=True)
class Tests:
    """How each look tests: within ± `margin`, at `level` over all `looks`."""

    margin: float
    level: float
    looks: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """`effect`: as shown; its p is the smallest so far, where `sign` is that of the estimate it
    belongs to. `nil`: both one-sided tests pass. `noise`: None without an error term. `seeds`: the
    fewest of its arms.
    """

    effect: Effect
    sign: float = 0.0
    nil: bool = False
    noise: Noise | None = None
    seeds: int = 0
    paired: Effect | None = None

    def after(self, earlier: "Look | None") -> "Look":
        """With the p of an earlier look where that was smaller: such a p keeps its error (Maurer &
        Bretz 2013).
        """
        if (
            earlier is None
            or earlier.effect.p is None
            or (self.effect.p is not None and self.effect.p <= earlier.effect.p)
        ):
            return self
        return replace(self, effect=replace(self.effect, p=earlier.effect.p), sign=earlier.sign)

    def without_error(self) -> "Look":
        """The estimate alone, of a table that no look was planned for."""
        effect = Effect(self.effect.estimate, None, None, None, self.effect.sampling_se)
        return Look(effect, seeds=self.seeds)


class Table:
    """The values by (arm, seed) that a look sees, at least one, all finite."""

    def __init__(self, cells: Cells) -> None:
        self.values: dict[str, dict[int, float]] = {}
        for (arm, seed), value in cells.items():
            self.values.setdefault(arm, {})[seed] = value
        self.cells = cells

    @cached_property
    def fit(self) -> Fit:
        """The two-way fit, whose error serves all contrasts within blocks."""
        return fit(self.cells)

    @cached_property
    def dof(self) -> int:
        """Degrees of freedom that each seed after the first adds to the pooled error."""
        return len(self.fit.arms) - len(self.fit.pattern.streams)

    def read(self, question: Question, tests: Tests) -> Look:
        """All of a question but its verdict."""
        arms = arms_of(question)
        seeds = min((len(self.values.get(arm, ())) for arm in arms), default=0)
        found, noise, pool = self._pooled(question, seeds)
        if found is None:
            found, noise, pool = self._unpaired(question)
        if found is None:
            return Look(Effect(None, None, None, None), seeds=seeds)
        effect = _effect(found, pool, tests.looks)
        if effect.low is None or noise is None:
            return Look(effect, seeds=seeds)
        low, high = found.interval(1 - 2 * nominal(tests.level, pool, tests.looks, sides=1))
        nil = low is not None and high is not None and -tests.margin < low and high < tests.margin
        return Look(
            effect,
            float(np.sign(found.value)),
            nil,
            noise,
            seeds,
            self._paired(question, tests.looks),
        )

    def _pooled(self, question: Question, seeds: int) -> tuple[Estimate | None, Noise | None, int]:
        """Within blocks, where the cells can estimate it; with the arms that its error is pooled
        over.
        """
        found = estimate(self.fit, question.weights, question.parts)
        unit = self.fit.pattern.contrast(question.weights)
        if found is None or unit is None or self.fit.sd is None:
            return found, None, 2
        variance, own = self.fit.sd**2, spread(question) * self.fit.sd**2
        drawn = max(0.0, (found.drawn or 0.0) ** 2 - own / seeds)
        return (
            found,
            Noise(variance * unit[1] * seeds, self.dof, len(question.parts), own, drawn),
            self.dof + 1,
        )

    def _unpaired(self, question: Question) -> tuple[Estimate | None, Noise | None, int]:
        """Between streams of seeds that have none in common: Welch's t (1947), with Satterthwaite's
        degrees of freedom (1946), on each stream's own weighted sums by seed. None where an arm has
        no run.
        """
        sums = [self._sums(question.weights, stream) for stream in self.fit.pattern.streams]
        samples = [own for own in sums if own is not None]
        if not set(arms_of(question)) <= self.values.keys() or any(
            len(own) == 0 for own in samples
        ):
            return None, None, 2
        value = float(sum(own.mean() for own in samples))
        if any(len(own) < 2 for own in samples):
            return Estimate(value, None, 0.0), None, 2
        ones = np.array([own.var(ddof=1) for own in samples])
        sizes = np.array([len(own) for own in samples])
        shares = ones / sizes
        dof = (
            float(shares.sum() ** 2 / (shares**2 / (sizes - 1)).sum())
            if shares.any()
            else float(sizes.min() - 1)
        )
        each = float(ones.sum() ** 2 / (ones**2).sum()) if ones.any() else 1.0
        # Fewer arms make the looks' correction larger: that of two is on the safe side of any
        # variances.
        return Estimate(value, float(np.sqrt(shares.sum())), dof), Noise(float(ones.sum()), each), 2

    def _sums(self, weights: Mapping[str, float], stream: frozenset[str]) -> np.ndarray | None:
        used = [
            (self.values[arm], weight)
            for arm, weight in weights.items()
            if weight and arm in stream
        ]
        if not used:
            return None
        common = [seed for seed in used[0][0] if all(seed in values for values, _ in used)]
        return np.array([sum(weight * values[seed] for values, weight in used) for seed in common])

    def _paired(self, question: Question, looks: Sequence[int]) -> Effect | None:
        """The paired t of two arms on the seeds that they share."""
        arms = arms_of(question)
        if len(arms) != 2 or sum(question.weights[arm] for arm in arms):
            return None
        scale, (one, other) = question.weights[arms[0]], (self.values[arm] for arm in arms)
        differences = scale * np.array([one[seed] - other[seed] for seed in one if seed in other])
        if (count := len(differences)) < 2:
            return None
        rest = differences - (mean := float(differences.sum()) / count)
        error = float(np.sqrt(rest @ rest / (count - 1) / count))
        return _effect(Estimate(mean, error, count - 1), 2, looks)


def _effect(found: Estimate, arms: int, looks: Sequence[int]) -> Effect:
    """With the interval and the p of that look, corrected for all looks."""
    if (p := found.p()) is None:
        return Effect(found.value, None, None, None, found.drawn)
    low, high = found.interval(1 - nominal(1 - _INTERVAL, arms, looks))
    return Effect(found.value, low, high, ever(p, arms, looks), found.drawn)
