"""Type I errors and widths of intervals with tuning error: `python -m benchmarks.tuning_error
[--comparisons 10000]`.

Simulated studies tune equal arms by the response surface (four grid points, then refining trials)
and compare disjoint pairs of them by the paired t of their confirming runs, with and without the
excess that the surface states. The bowls are a parabola and one through the mean losses of real
runs, which is sharper at its bottom. Their optima lie anywhere between grid points, equal or 0.4
octave apart.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import special
from scipy.interpolate import PchipInterpolator

from ablab.stats.tuning.response_surface import (
    Excess,
    ResponseSurface,
    Trials,
    fit_surface,
    refining_offsets,
)

GRID = np.array([-1.0, 0.0, 1.0, 2.0])  # octaves
MARGIN = 0.0125
CHUNK = 1000  # comparisons at a time, which bounds the memory
Bowl = Callable[[np.ndarray], np.ndarray]
# The losses from one octave below to two above the optimum are measured; the others continue them.
BOWLS: dict[str, Bowl] = {
    "parabola": lambda x: 0.1425 * x**2,
    "measured": PchipInterpolator(
        [-4, -3, -2, -1, 0, 1, 2, 3, 4], [1.2, 0.7, 0.36, 0.138, 0, 0.147, 0.304, 0.62, 1.2]
    ),
    "flat": lambda x: 0.02 * x**2,
}


@dataclass(frozen=True)
class Scenario:
    """How studies are simulated."""

    bowl: str
    """Name of the bowl."""
    sd: float
    """Run-to-run standard deviation, of trials too."""
    arms: int
    """Number of arms, which share the curvature."""
    apart: float
    """Distance of the optima of neighbouring arms, in octaves."""
    seeds: int
    """Number of confirming seeds."""
    effect: float = 0.0
    """What the second arm of a pair is better by."""


@dataclass(frozen=True)
class Outcome:
    """The comparisons of all pairs of all studies, each array `(studies, pairs)`."""

    error: np.ndarray
    """Whether the arms are called different."""
    without: np.ndarray
    """The same without the excess."""
    lowest: np.ndarray
    """The same, tuned by the lowest of the grid's trials."""
    untuned: np.ndarray
    """The same with both optima known."""
    width: np.ndarray
    """Width of the interval."""
    untuned_width: np.ndarray
    """Width with both optima known."""


# Losses of runs from (the arm of each column `(runs,)`, log2 of the learning rate
# `(studies, runs)`), with noise.
Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]


def tuned(
    losses: Losses, arms: int, grid: np.ndarray, size: tuple[int, int]
) -> tuple[ResponseSurface, np.ndarray]:
    """Tune arms at the points of `grid`, and around the optima found, as studies do.

    `size` are the numbers of studies and of confirming seeds. Return the surfaces, and the grid
    points with the lowest losses, `(studies, arms)`.
    """
    studies, seeds = size
    arm = np.repeat(np.arange(arms), len(grid))
    x = np.broadcast_to(np.tile(grid, arms), (studies, len(arm)))
    loss = losses(arm, x)
    surface = fit_surface(Trials(arm, x, loss, 1.0))
    lowest = grid[loss.reshape(studies, arms, -1).argmin(-1)]
    offsets = refining_offsets(seeds)
    more_x = (surface.optimum[..., None] + offsets).reshape(studies, -1)
    more_arm = np.repeat(np.arange(arms), len(offsets))
    more = losses(more_arm, more_x)
    more[surface.curvature <= MARGIN] = np.nan  # not refined
    trials = Trials(
        np.concatenate([arm, more_arm]),
        np.concatenate([x, more_x], 1),
        np.concatenate([loss, more], 1),
        1.0,
    )
    return fit_surface(trials), lowest


def simulate(scenario: Scenario, studies: int, random: np.random.Generator) -> Outcome:
    """Simulate tuned comparisons of the arms in pairs."""
    optima = np.repeat(random.uniform(-0.5, 0.5, (studies, 1)), scenario.arms, 1)
    optima[:, 1::2] += scenario.apart
    bowl = BOWLS[scenario.bowl]

    def losses(arm: np.ndarray, x: np.ndarray) -> np.ndarray:
        return bowl(x - optima[:, arm]) + scenario.sd * random.standard_normal(x.shape)

    surface, lowest = tuned(losses, scenario.arms, GRID, (studies, scenario.seeds))
    noise = scenario.sd * random.standard_normal((studies, scenario.arms, scenario.seeds))
    differences = noise[:, 1::2] - noise[:, ::2] - scenario.effect  # (studies, pairs, seeds)
    variance = differences.var(-1, ddof=1) / scenario.seeds
    dof = np.full(variance.shape, scenario.seeds - 1.0)

    def mean(chosen: np.ndarray) -> np.ndarray:
        excess = bowl(chosen - optima)
        return np.abs(differences.mean(-1) + excess[:, 1::2] - excess[:, ::2])

    pairs = np.repeat(np.eye(scenario.arms // 2), 2, axis=1)  # (pairs, arms)
    excesses = [surface.excess(pair) for pair in pairs]
    excess = Excess(
        np.stack([each.variance for each in excesses], 1),
        np.stack([each.dof for each in excesses], 1),
    )
    total, combined = excess.added_to(variance, dof)
    half = special.stdtrit(combined, 0.975) * np.sqrt(total)
    plain = special.stdtrit(dof, 0.975) * np.sqrt(variance)
    return Outcome(
        mean(surface.optimum) > half,
        mean(surface.optimum) > plain,
        mean(lowest) > plain,
        mean(optima) > plain,
        2 * half,
        2 * plain,
    )


def row(scenario: Scenario, comparisons: int) -> str:
    """Return a row of the table."""
    random = np.random.default_rng(0)
    chunk = 2 * CHUNK // scenario.arms
    chunks = [simulate(scenario, chunk, random) for _ in range(comparisons // CHUNK)]
    true_effect = replace(scenario, effect=2 * scenario.sd)
    powers = [simulate(true_effect, chunk, random) for _ in range(min(2, len(chunks)))]

    def share(name: str, outcomes: list[Outcome]) -> float:
        return float(np.mean([getattr(outcome, name) for outcome in outcomes]))

    ratio = share("width", chunks) / share("untuned_width", chunks)
    return (
        f"{scenario.bowl:9} {scenario.sd:5g} {scenario.arms:5} {scenario.apart:6g} "
        f"{scenario.seeds:6} {share('error', chunks):7.3f} {share('without', chunks):8.3f} "
        f"{share('lowest', chunks):7.3f} {ratio:6.2f} {share('error', powers):6.2f} "
        f"{share('untuned', powers):8.2f}"
    )


def scenarios() -> Iterator[Scenario]:
    """Return the rows of the table: the noise of the flagship, twice that, and a quiet recipe."""
    noises = [("parabola", 0.05), ("parabola", 0.1), ("measured", 0.05), ("measured", 0.1)]
    noises += [("measured", 0.01), ("flat", 0.01)]
    for (bowl, sd), arms, apart, seeds in product(noises, (2, 4, 16), (0.0, 0.4), (4, 6, 12)):
        yield Scenario(bowl, sd, arms, apart, seeds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=10_000)
    comparisons = parser.parse_args().comparisons
    print("error: arms called different although equal; excess left out; tuned by lowest trial")
    print("width: mean width of the interval over that of untuned arms")
    print("power: for an effect of two standard deviations; of untuned arms")
    print("bowl         sd  arms  apart  seeds   error  without  lowest  width  power  untuned")
    for scenario in scenarios():
        print(row(scenario, comparisons), flush=True)


if __name__ == "__main__":
    main()
