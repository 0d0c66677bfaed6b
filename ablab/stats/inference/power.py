"""Power: the smallest effect that a number of seeds detects, and the seeds that settle a question.

Power always refers to an effect specified in advance, never to the observed one (Hoenig & Heisey
2001).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from ablab.stats.effects import Question
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.sequential import nominal_alpha

MOST_SEEDS = 10_000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class PowerTarget:
    """The required power of a test: to detect an effect with probability `power` at the first step
    of Holm's procedure for `family` effects at `helps_level`, and to show equivalence at `level`.
    `looks` are those of an adaptive study; they are empty for a fixed number of seeds.
    """

    family: int = 1
    level: float = 0.05
    power: float = 0.8
    looks: tuple[int, ...] = ()
    helps_level: float = 0.05


@dataclass(frozen=True)
class Noise:
    """The sources of the standard error of an effect.

    `variance` is that of the contrast at one seed, and `dof` the degrees of freedom that each seed
    after the first adds. If `draws` orders were sampled, their spread adds two variances: `spread`
    at one seed, caused by the noise of the runs, and `between_draws`, which more seeds do not
    reduce. Nor do they reduce `tuning`, the variance that tuning error adds and its degrees of
    freedom.
    """

    variance: float
    dof: float
    draws: int = 0
    spread: float = 0.0
    between_draws: float = 0.0
    tuning: tuple[float, float] = (0.0, 1.0)

    def at(self, seeds: int) -> tuple[float, float]:
        """Return the standard error with this number of seeds, and its degrees of freedom
        (Satterthwaite's if it has several sources).
        """
        variance = self.variance / seeds
        dof = self.dof * (seeds - 1)
        sampling = self.between_draws + self.spread / seeds
        if self.draws > 1 and sampling:
            total = variance + sampling
            dof = total**2 / (variance**2 / dof + sampling**2 / (self.draws - 1))
            variance = total
        added, added_dof = self.tuning
        if added:
            total = variance + added
            dof = min(dof, total**2 / (variance**2 / dof + added**2 / added_dof))
            variance = total
        return float(np.sqrt(variance)), dof


def spread(question: Question) -> float:
    """Return the variance that the spread of the sampled parts contributes to their mean, for runs
    of variance one at one seed.
    """
    draws = len(question.parts)
    if draws < 2:
        return 0.0
    arms = {arm for part in question.parts for arm in part}
    table = np.array([[part.get(arm, 0.0) for arm in arms] for part in question.parts])
    return float(table.var(axis=0, ddof=1).sum() / draws)


def finds(effect: float, error: float, dof: float, level: float) -> float:
    """Return the power of a two-sided t test for a true effect, by Student's noncentral t."""
    if error == 0:
        return float(effect != 0)
    critical = float(special.stdtrit(dof, 1 - level / 2))
    shift = abs(effect) / error
    above = 1 - float(special.nctdtr(dof, shift, critical))
    power = above + float(special.nctdtr(dof, shift, -critical))
    if math.isfinite(power):
        return power
    # scipy fails if the effect is large relative to its error and the degrees of freedom are few;
    # integrate over s instead.
    s = np.sqrt(special.gammaincinv(dof / 2, (_NODES + 1) / 2) * 2 / dof)
    both_sides = special.ndtr(shift - critical * s) + special.ndtr(-shift - critical * s)
    return float(_WEIGHTS @ both_sides) / 2


def equivalence_power(margin: float, error: float, dof: float, level: float = 0.05) -> float:
    """Return the power of two one-sided tests within ± margin for a true effect of zero.

    Exact: with s the estimated over the true standard error, both pass where |estimate| < margin −
    t s error, which is 2Φ(margin / error − t s) − 1 for a given s; its mean is taken over s,
    √(chi-square / dof) (Schuirmann 1987; Phillips 1990).
    """
    if error == 0:
        return float(margin > 0)
    critical = float(special.stdtrit(dof, 1 - level))
    reach = margin / error
    # The probability that s permits equivalence at all.
    most = float(special.gammainc(dof / 2, (reach / critical) ** 2 * dof / 2))
    shares = most * (_NODES + 1) / 2
    s = np.sqrt(special.gammaincinv(dof / 2, shares) * 2 / dof)
    return float(most / 2 * (_WEIGHTS @ (2 * special.ndtr(reach - critical * s) - 1)))


@lru_cache(maxsize=1024)
def seeds_needed(noise: Noise, margin: float, target: PowerTarget) -> int | None:
    """Return the smallest number of seeds of a fixed study that settles a question.

    With it, an effect as large as the margin is detected, and an effect of zero is shown to lie
    within the margin, each with the required power and at the first step of Holm's procedure. None
    stands for more than 10,000.
    """

    def settles(seeds: int) -> bool:
        error, dof = noise.at(seeds)
        if finds(margin, error, dof, target.helps_level / target.family) < target.power:
            return False
        level = target.level / target.family
        return equivalence_power(margin, error, dof, level) >= target.power

    if margin <= 0:
        return None
    return _fewest(settles, noise)


@lru_cache(maxsize=1024)
def seeds_for_equivalence(noise: Noise, margin: float, target: PowerTarget) -> int | None:
    """Return the smallest number of seeds of a fixed study that shows an effect of zero to lie
    within the margin, with the required power and at the first step of Holm's procedure. None
    stands for more than 10,000.
    """

    def settles(seeds: int) -> bool:
        level = target.level / target.family
        return equivalence_power(margin, *noise.at(seeds), level) >= target.power

    return _fewest(settles, noise) if margin > 0 else None


def _fewest(settles: Callable[[int], bool], noise: Noise) -> int | None:
    """Return the smallest number of seeds that settles a question, by bisection."""
    if noise.variance == 0 and not noise.between_draws and not noise.tuning[0]:
        return MIN_SEEDS
    high = MIN_SEEDS
    while not settles(high):
        if high == MOST_SEEDS:
            return None
        high = min(2 * high, MOST_SEEDS)
    low = max(MIN_SEEDS - 1, high // 2)  # does not settle, or is too few for a verdict
    while high - low > 1:
        middle = (low + high) // 2
        if settles(middle):
            high = middle
        else:
            low = middle
    return high


def smallest_found(noise: Noise, seeds: int, target: PowerTarget) -> float:
    """Return the smallest true effect that is detected with the required power.

    For an adaptive study this is the effect detected at the last look, at the level of a look.
    Earlier looks add power, so the exact value is slightly smaller.
    """
    error, dof = noise.at(seeds)
    level = target.helps_level / target.family
    if target.looks:
        level = nominal_alpha(level, target.looks[-1], target.looks)
    return error * noncentrality(dof, level, target.power)


def noncentrality(dof: float, level: float, power: float) -> float:
    """Return the true effect, in standard errors, that a two-sided t test detects with `power`."""
    # Rejection on the opposite side is neglected: at any useful power its probability is zero.
    return float(special.nctdtrinc(dof, 1 - power, special.stdtrit(dof, 1 - level / 2)))
