"""Repeated looks at a study while seeds are added, with a controlled error rate.

A group-sequential test of Pocock's kind (1977; Jennison & Turnbull 2000, chapter 2): every look
uses one nominal level, which is lowered so that a true null hypothesis is rejected at any look with
at most the nominal level. Pocock's constants hold for a known variance; with the few seeds of a
study the variance is estimated again at each look, so the probability is obtained by simulating the
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
# With fewer simulated rejections the union bound is used; 400 give a probability to within 5 %.
_MIN_REJECTIONS = 400


def looks(start: int, most: int) -> tuple[int, ...]:
    """Return the numbers of seeds after which to look: `start`, then a third more each time (at
    least one), and finally `most`; for example 3, 4, 5, 7, 9, 12.
    """
    if not 2 <= start <= most:
        raise ValueError(
            f"looks start at 2 seeds or more and end no earlier: not {start} to {most}"
        )
    seeds = [start]
    while seeds[-1] < most:
        seeds.append(min(most, max(seeds[-1] + 1, round(seeds[-1] * 4 / 3))))
    return tuple(seeds)


def overall_p(p: float, arms: int, looks: Sequence[int], sides: int = 2) -> float:
    """Return the probability under the null hypothesis that any look gives a p-value of at most
    `p`.

    `arms` are those of the pooled error, whose degrees of freedom at n seeds are (arms − 1)(n − 1).
    `sides` is 2, or 1 for one-sided p-values. The result is at least p, at most looks × p and
    nondecreasing in p; if too few simulated cases are available, it is looks × p.
    """
    if len(looks) < 2:
        return p
    lowest = _lowest(arms, tuple(looks))[sides - 1]
    place = int(np.searchsorted(lowest, p, side="right"))
    simulated = max(place, _MIN_REJECTIONS) / len(lowest)
    return min(1.0, max(p, min(len(looks) * p, simulated)))


def nominal_alpha(level: float, arms: int, looks: Sequence[int], sides: int = 2) -> float:
    """Return the level of each look at which all looks together have an error rate of `level`: the
    largest level whose `overall_p` does not exceed it.
    """
    return _nominal(level, arms, tuple(looks), sides) if len(looks) > 1 else level


@lru_cache(maxsize=1024)
def _nominal(level: float, arms: int, looks: tuple[int, ...], sides: int) -> float:
    lowest = _lowest(arms, looks)[sides - 1]
    count = int(level * len(lowest))
    if count < _MIN_REJECTIONS:
        return level / len(looks)
    return min(level, max(level / len(looks), float(lowest[count - 1])))


@lru_cache(maxsize=64)
def _lowest(arms: int, looks: tuple[int, ...]) -> np.ndarray:
    """Return the smallest nominal p-value over the looks in each of many simulated studies without
    effects, one-sided and two-sided `(2, studies)`, in ascending order.
    """
    rng = np.random.default_rng(20_231)
    chunks = [_process(rng, arms, looks) for _ in range(_STUDIES // _CHUNK)]
    return np.sort(np.concatenate(chunks, axis=1))


def _process(rng: np.random.Generator, arms: int, looks: tuple[int, ...]) -> np.ndarray:
    total, squares, others = np.zeros((3, _CHUNK))
    least = np.ones((2, _CHUNK))
    previous = 0  # seeds at the previous look
    for seeds in looks:
        values = rng.standard_normal((seeds - previous, _CHUNK))
        total += values.sum(0)
        squares += (values**2).sum(0)
        if arms > 2:  # each seed after the first adds one degree of freedom
            others += rng.chisquare((arms - 2) * (seeds - max(previous, 1)), _CHUNK)
        previous = seeds
        dof = (arms - 1) * (seeds - 1)
        variance = (squares - total**2 / seeds + others) / dof
        below = special.stdtr(dof, total / np.sqrt(seeds * variance))
        np.minimum(least, (below, 2 * np.minimum(below, 1 - below)), out=least)
    return least
