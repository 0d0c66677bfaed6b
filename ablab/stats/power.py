"""What a number of seeds can show: the smallest effect that is found, and the seeds that settle a
question.

Power is always that of an effect named in advance, never of the one observed (Hoenig & Heisey
2001).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from ablab.stats.effects import Question
from ablab.stats.sequential import nominal

MOST_SEEDS = 10_000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class PowerTarget:
    """What a test must do: find an effect with chance `power`, at the first step of Holm's test of
    `family` effects at `level`. `looks`: of an adaptive study; () for one of a fixed number of
    seeds.
    """

    family: int = 1
    level: float = 0.05
    power: float = 0.8
    looks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Noise:
    """Where an effect's standard error comes from. `variance`: of one seed's value of the contrast;
    `dof`: degrees of freedom that each seed after the first adds. Where `draws` orders were drawn,
    their spread adds `spread` of one seed, which is the runs' own noise in it, and `drawn`, which
    seeds do not lessen.
    """

    variance: float
    dof: float
    draws: int = 0
    spread: float = 0.0
    drawn: float = 0.0

    def at(self, seeds: int) -> tuple[float, float]:
        """The standard error at that many seeds, and its degrees of freedom (Satterthwaite's where
        orders were drawn).
        """
        variance, dof = self.variance / seeds, self.dof * (seeds - 1)
        if self.draws > 1 and (added := self.drawn + self.spread / seeds):
            both = variance + added
            dof = both**2 / (variance**2 / dof + added**2 / (self.draws - 1))
            variance = both
        return float(np.sqrt(variance)), dof


def spread(question: Question) -> float:
    """The variance that runs of variance one, at one seed, give the mean of the drawn parts by way
    of their spread.
    """
    if (draws := len(question.parts)) < 2:
        return 0.0
    arms = {arm for part in question.parts for arm in part}
    table = np.array([[part.get(arm, 0.0) for arm in arms] for part in question.parts])
    return float(table.var(axis=0, ddof=1).sum() / draws)


def finds(effect: float, error: float, dof: float, level: float) -> float:
    """The power of a two-sided t test of a true effect: Student's noncentral t."""
    if error == 0:
        return float(effect != 0)
    critical, shift = float(special.stdtrit(dof, 1 - level / 2)), abs(effect) / error
    above = 1 - float(special.nctdtr(dof, shift, critical))
    found = above + float(special.nctdtr(dof, shift, -critical))
    if math.isfinite(found):
        return found
    # scipy gives up where the effect is large against its error and the degrees of freedom are few:
    # the mean over s instead.
    s = np.sqrt(special.gammaincinv(dof / 2, (_NODES + 1) / 2) * 2 / dof)
    return (
        float(_WEIGHTS @ (special.ndtr(shift - critical * s) + special.ndtr(-shift - critical * s)))
        / 2
    )


def shows_nil(margin: float, error: float, dof: float, level: float = 0.05) -> float:
    """The power of two one-sided tests within ± margin where the true effect is nil.

    Exact: with s the estimated over the true standard error, both pass where |estimate| < margin −
    t s error, which is 2Φ(margin / error − t s) − 1 for a given s; its mean is taken over s,
    √(chi-square / dof) (Schuirmann 1987; Phillips 1990).
    """
    if error == 0:
        return float(margin > 0)
    critical, reach = float(special.stdtrit(dof, 1 - level)), margin / error
    most = float(
        special.gammainc(dof / 2, (reach / critical) ** 2 * dof / 2)
    )  # the chance that s leaves any room
    shares = most * (_NODES + 1) / 2
    s = np.sqrt(special.gammaincinv(dof / 2, shares) * 2 / dof)
    return float(most / 2 * (_WEIGHTS @ (2 * special.ndtr(reach - critical * s) - 1)))


@lru_cache(maxsize=1024)
def seeds_needed(noise: Noise, margin: float, demand: PowerTarget) -> int | None:
    """The fewest seeds of a fixed study with which an effect as large as the margin would be found,
    and a nil effect be shown to lie within it (one-sided tests at `level`), each with the power
    demanded. None: more than 10,000.
    """

    def settles(seeds: int) -> bool:
        error, dof = noise.at(seeds)
        if finds(margin, error, dof, demand.level / demand.family) < demand.power:
            return False
        return shows_nil(margin, error, dof, demand.level) >= demand.power

    if margin <= 0:
        return None
    if noise.variance == 0 and not noise.drawn:
        return 2
    high = 2
    while not settles(high):
        if high == MOST_SEEDS:
            return None
        high = min(2 * high, MOST_SEEDS)
    low = max(1, high // 2)  # does not settle, or is too few for an error
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high


def smallest_found(noise: Noise, seeds: int, demand: PowerTarget) -> float:
    """The smallest true effect that is found with the power demanded. In an adaptive study at its
    last look alone, by the level that each look has: the looks before it add to the power, so the
    true figure is a little smaller.
    """
    error, dof = noise.at(seeds)
    level = demand.level / demand.family
    if demand.looks:
        level = nominal(level, round(noise.dof) + 1, demand.looks)
    # The chance to reject on the wrong side is left out: at a power worth having it is nil.
    return error * float(
        special.nctdtrinc(dof, 1 - demand.power, special.stdtrit(dof, 1 - level / 2))
    )
