"""Repeated looks at a study while seeds are added, with a controlled error rate.

A group-sequential test (Jennison & Turnbull 2000, chapters 2 and 9): each look has a nominal level,
lowered so that a true null hypothesis is rejected at any look with at most the overall level.
Published constants hold for a known variance; with the few seeds of a study the variance is
estimated again at each look, so the probability is obtained by simulating the process of a paired
t test, whose p-values vary more from look to look than those of tests with more degrees of freedom.

The nominal levels of the looks stand in a fixed proportion: the one at which the 95 % intervals of
all looks are wider than those of a study without looks by the same factor. Pocock's constant level
(1977) would widen the interval at the first few seeds by much more than the later ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

_STUDIES = 200_000
_CHUNK = 25_000
# With fewer simulated rejections the union bound is used; 400 give a probability to within 5 %.
_MIN_REJECTIONS = 400


def looks(start: int, most: int, step: int = 1) -> tuple[int, ...]:
    """Return the numbers of seeds after which to look: `start`, then a third more each time, at
    least and in multiples of `step`, and finally `most`; for example 4, 5, 7, 9, 12.
    """
    if not 2 <= start <= most:
        raise ValueError(
            f"looks start at 2 seeds or more and end no earlier: not {start} to {most}"
        )
    seeds = [start]
    while seeds[-1] < most:
        third = step * round(seeds[-1] / 3 / step)
        seeds.append(min(most, seeds[-1] + max(step, third)))
    return tuple(seeds)


def overall_p(p: np.ndarray, seeds: int, looks: Sequence[int], sides: int = 2) -> np.ndarray:
    """Return the probability under the null hypothesis that any look is as extreme as a nominal
    p-value of `p` is at the look after `seeds`; any shape.

    `sides` is 2, or 1 for one-sided p-values. The result is at least p and nondecreasing in p; if
    too few simulated cases are available, it is the union bound.
    """
    if len(looks) < 2:
        return np.asarray(p)
    process = _process(tuple(looks))
    ratio = np.asarray(p) / process.weights[tuple(looks).index(seeds)]
    lowest = process.lowest[sides - 1]
    simulated = np.maximum(np.searchsorted(lowest, ratio, side="right"), _MIN_REJECTIONS)
    bound = np.minimum(ratio * process.weights.sum(), simulated / len(lowest))
    return np.minimum(1.0, np.maximum(p, bound))


def nominal_alpha(level: float, seeds: int, looks: Sequence[int], sides: int = 2) -> float:
    """Return the level of the look after `seeds` at which all looks together have an error rate of
    `level`: the largest level whose `overall_p` does not exceed it.
    """
    if len(looks) < 2:
        return level
    process = _process(tuple(looks))
    weight = float(process.weights[tuple(looks).index(seeds)])
    bound = level * weight / float(process.weights.sum())
    lowest = process.lowest[sides - 1]
    count = int(level * len(lowest))
    if count < _MIN_REJECTIONS:
        return bound
    return min(level, max(bound, weight * float(lowest[count - 1])))


@dataclass(frozen=True)
class _Process:
    """The null process of a paired t test.

    `weights` `(looks,)` are proportional to the nominal levels. `lowest` `(2, studies)` is the
    smallest p-value over the looks, divided by its weight, one-sided and two-sided, ascending.
    """

    weights: np.ndarray
    lowest: np.ndarray


@lru_cache(maxsize=64)
def _process(looks: tuple[int, ...]) -> _Process:
    rng = np.random.default_rng(20_231)
    t = np.concatenate([_t(rng, looks) for _ in range(_STUDIES // _CHUNK)], axis=1)
    dof = np.array(looks)[:, None] - 1.0
    single = special.stdtrit(dof, 0.975)
    widening = np.quantile(np.max(np.abs(t) / single, axis=0), 0.95)
    weights = 2 * special.stdtr(dof, -widening * single)
    below = special.stdtr(dof, t) / weights
    both = 2 * special.stdtr(dof, -np.abs(t)) / weights
    return _Process(weights[:, 0], np.sort(np.stack([below.min(0), both.min(0)]), axis=1))


def _t(rng: np.random.Generator, looks: tuple[int, ...]) -> np.ndarray:
    """Return the t statistics `(looks, _CHUNK)` of studies without an effect."""
    total, squares = np.zeros((2, _CHUNK))
    statistics = []
    previous = 0  # seeds at the previous look
    for seeds in looks:
        values = rng.standard_normal((seeds - previous, _CHUNK))
        total += values.sum(0)
        squares += (values**2).sum(0)
        variance = (squares - total**2 / seeds) / (seeds - 1)
        statistics.append(total / np.sqrt(seeds * variance))
        previous = seeds
    return np.stack(statistics)
