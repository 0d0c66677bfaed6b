"""Tuning error on real runs: `python -m benchmarks.replay_tuning [--studies 10000] [--table FILE]`.

The bank holds runs of three arms at half the recipe's learning rate, at it and at twice it. In each
study every arm stands twice: six arms are tuned by the response surface of their trials, which are
runs of the bank, and compared by confirming runs at the rates found. The loss of an arm between the
three rates, and beyond them, is the parabola through its means; the noise of a run is that of one
of the bank at the nearest rate, drawn with replacement. Errors are those of comparing an arm with
itself; the coverage is that of the difference between two arms, each at its own best rate.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import special

from ablab.stats.tuning.response_surface import ResponseSurface
from benchmarks.bank.table import LR, TABLE, Bank, read_bank
from benchmarks.tuning_error import tuned

GRID = np.array([-1.0, 0.0, 1.0])  # octaves from the recipe's learning rate
CHUNK = 500  # studies at a time, which bounds the memory


@dataclass(frozen=True)
class BankArm:
    """The losses of one arm over the learning rate."""

    name: str
    curvature: float
    optimum: float
    minimum: float
    deviations: list[np.ndarray]
    """Of the runs from their mean, by rate; scaled for drawing with replacement."""

    @classmethod
    def of(cls, bank: Bank, name: str) -> "BankArm":
        """Return the arm with the change `name`, or the baseline for `gpt2`."""
        changes = frozenset() if name == "gpt2" else frozenset({name})
        runs = [bank.losses[changes, LR * 2.0**x] for x in GRID]
        means = np.array([each.mean() for each in runs])
        curvature, slope, constant = np.polyfit(GRID, means, 2)
        optimum = -slope / (2 * curvature)
        scaled = [(r - r.mean()) * np.sqrt(len(r) / (len(r) - 1)) for r in runs]
        return cls(name, curvature, optimum, constant - curvature * optimum**2, scaled)

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Return the mean loss at log2 of the learning rate relative to the recipe's."""
        return self.minimum + self.curvature * (x - self.optimum) ** 2

    def noise(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the noise of runs at these rates."""
        nearest = np.abs(x[..., None] - GRID).argmin(-1)
        drawn = [each[rng.integers(len(each), size=x.shape)] for each in self.deviations]
        return np.choose(nearest, drawn)


@dataclass(frozen=True)
class Comparison:
    """The comparison of two arms in each study; arrays `(studies,)`."""

    difference: np.ndarray
    """Of the confirming means, from the true difference of the arms at their best rates."""
    half: np.ndarray
    """Half the width of the interval."""
    plain: np.ndarray
    """The same without the error of tuning."""


def compare(
    arms: Sequence[BankArm], surface: ResponseSurface, seeds: int, rng: np.random.Generator
) -> dict[tuple[int, int], Comparison]:
    """Confirm each arm at its optimum, and compare any two of them by seed."""
    chosen = surface.optimum  # (studies, arms)
    runs = [
        np.repeat((arm.mean(x) - arm.minimum)[:, None], seeds, 1)
        + arm.noise(np.repeat(x[:, None], seeds, 1), rng)
        for arm, x in zip(arms, chosen.T, strict=True)
    ]
    result = {}
    for i, j in combinations(range(len(arms)), 2):
        differences = runs[j] - runs[i]
        variance = differences.var(1, ddof=1) / seeds
        dof = np.full_like(variance, seeds - 1.0)
        weights = np.zeros(len(arms))
        weights[[i, j]] = -1.0, 1.0
        total, combined = surface.excess(weights).added_to(variance, dof)
        result[i, j] = Comparison(
            differences.mean(1),
            special.stdtrit(combined, 0.975) * np.sqrt(total),
            special.stdtrit(dof, 0.975) * np.sqrt(variance),
        )
    return result


def replay(
    arms: Sequence[BankArm], seeds: int, studies: int, seed: int = 0
) -> dict[tuple[int, int], Comparison]:
    """Tune and compare the arms in so many studies."""
    rng = np.random.default_rng(seed)

    def losses(columns: np.ndarray, x: np.ndarray) -> np.ndarray:
        points = zip(columns, x.T, strict=True)
        return np.stack([arms[arm].mean(at) + arms[arm].noise(at, rng) for arm, at in points], 1)

    chunks = []
    for _ in range(0, studies, CHUNK):
        surface, _ = tuned(losses, len(arms), GRID, (min(CHUNK, studies), seeds))
        chunks.append(compare(arms, surface, seeds, rng))
    return {
        pair: Comparison(
            *(
                np.concatenate([getattr(chunk[pair], name) for chunk in chunks])
                for name in ("difference", "half", "plain")
            )
        )
        for pair in chunks[0]
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.replay_tuning")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--table", type=Path, default=TABLE, help="the bank's table")
    options = parser.parse_args(arguments)
    bank = read_bank(options.table)
    arms = [BankArm.of(bank, name) for name in ("gpt2", "rope", "swiglu") for _ in range(2)]
    print("arm       best rate  curvature  loss there   sd at half, once and twice the rate")
    for arm in arms[::2]:
        sds = "  ".join(f"{np.sqrt(np.mean(each**2)):.4f}" for each in arm.deviations)
        rate = LR * 2**arm.optimum
        print(f"{arm.name:9} {rate:9.2g}  {arm.curvature:9.4f}  {arm.minimum:10.4f}   {sds}")
    print("\narms               seeds  outside  without tuning error  width")
    for seeds in (4, 6, 12):
        for (i, j), found in replay(arms, seeds, options.studies).items():
            if i % 2 == 0 and (j % 2 == 0 or j == i + 1):
                outside = np.mean(np.abs(found.difference) > found.half)
                without = np.mean(np.abs(found.difference) > found.plain)
                width = found.half.mean() / found.plain.mean()
                pair = f"{arms[i].name}, {arms[j].name}"
                print(f"{pair:18} {seeds:5}  {outside:7.3f}  {without:20.3f}  {width:5.2f}")


if __name__ == "__main__":
    main()
