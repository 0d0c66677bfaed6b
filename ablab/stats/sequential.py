"""Looking at a study several times while seeds are added, at a known error.

A group-sequential test of Pocock's kind (1977; Jennison & Turnbull 2000, chapter 2): every look
uses one nominal level, which is lowered so that a true null hypothesis is rejected at any look with
no more than the level asked for. Pocock's constants hold for a known variance; with the few seeds
of a study the variance is estimated anew at each look, so the chance is found by simulating the
null process of the pooled t itself. By seed, a contrast's values are independent normal variables;
what the other (arms − 2) contrasts orthogonal to it and to the mean add to the pooled variance is a
chi-square variable with (arms − 2) degrees of freedom. Neither depends on the noise's size, so that
one simulation serves all studies with these arms and looks.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

_STUDIES = 200_000
_CHUNK = 25_000
# Below as many simulated rejections the union bound takes over: with 400, a chance is known to 5 %.
_FEWEST = 400


def looks(start: int, most: int) -> tuple[int, ...]:
    """After how many seeds to look: `start`, then a third more each time (at least one), and
    `most`: 3, 4, 5, 7, 9, 12.
    """
    if not 2 <= start <= most:
        raise ValueError(
            f"looks start at 2 seeds or more and end no earlier: not {start} to {most}"
        )
    found = [start]
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, round(found[-1] * 4 / 3))))
    return tuple(found)


def ever(p: float, arms: int, looks: Sequence[int], sides: int = 2) -> float:
    """The chance under the null hypothesis that any of the looks would give a p of that size or
    smaller. `arms`: of the pooled error, whose degrees of freedom at n seeds are (arms − 1)(n − 1).
    `sides`: 2, or 1 for one-sided p.

    Never above looks × p, never below p, and not decreasing in p; where the simulation holds too
    few cases, looks × p.
    """
    if len(looks) < 2:
        return p
    lowest = _lowest(arms, tuple(looks))[sides - 1]
    place = int(np.searchsorted(lowest, p, side="right"))
    simulated = max(place, _FEWEST) / len(lowest)
    return min(1.0, max(p, min(len(looks) * p, simulated)))


def nominal(level: float, arms: int, looks: Sequence[int], sides: int = 2) -> float:
    """The level at which each look is to test so that all together err with `level`: the largest
    whose `ever` is no more.
    """
    return _nominal(level, arms, tuple(looks), sides) if len(looks) > 1 else level


@lru_cache(maxsize=1024)
def _nominal(level: float, arms: int, looks: tuple[int, ...], sides: int) -> float:
    lowest = _lowest(arms, looks)[sides - 1]
    count = int(level * len(lowest))
    if count < _FEWEST:
        return level / len(looks)
    return min(level, max(level / len(looks), float(lowest[count - 1])))


@lru_cache(maxsize=64)
def _lowest(arms: int, looks: tuple[int, ...]) -> np.ndarray:
    """The smallest nominal p over the looks in each of many studies without effects, one-sided and
    two-sided (2, studies), ascending.
    """
    rng = np.random.default_rng(20_231)
    found = [_process(rng, arms, looks) for _ in range(_STUDIES // _CHUNK)]
    return np.sort(np.concatenate(found, axis=1))


def _process(rng: np.random.Generator, arms: int, looks: tuple[int, ...]) -> np.ndarray:
    total, squares, others = np.zeros((3, _CHUNK))
    least, seen = np.ones((2, _CHUNK)), 0
    for seeds in looks:
        values = rng.standard_normal((seeds - seen, _CHUNK))
        total += values.sum(0)
        squares += (values**2).sum(0)
        if arms > 2:  # each seed after the first adds one degree of freedom
            others += rng.chisquare((arms - 2) * (seeds - max(seen, 1)), _CHUNK)
        seen = seeds
        dof = (arms - 1) * (seeds - 1)
        variance = (squares - total**2 / seeds + others) / dof
        below = special.stdtr(dof, total / np.sqrt(seeds * variance))
        np.minimum(least, (below, 2 * np.minimum(below, 1 - below)), out=least)
    return least
