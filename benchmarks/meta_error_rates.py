"""How often the mean over settings errs, and how often predictions hold, on the noise of real runs:
`python -m benchmarks.meta_error_rates [--replications 5000] [--seeds 6]`.

A setting is a paired comparison of two arms of the bank of runs (`python -m benchmarks.bank`), on
seeds that are drawn for it: both arms on the same ones, so that a seed is a block. Arms are
centred, so that the mean effect is zero, and no arm serves two settings. The effect of each setting
is drawn from a normal distribution around zero with a standard deviation of 0, 0.5 or 1 standard
deviations of a run. Where runs are shared, settings come in pairs that have one baseline and its
seeds in common. The deviation of a mean from the bank's is divided by √(1 − n/20), as in
`benchmarks.bank.drawn_studies`.

*error*: the 95 % interval of the mean excludes zero; *ignoring*: the same if pairs that share runs
counted as independent; *corrected*: the same with variances v d / (d − 2) for d degrees of freedom;
*prediction*: the prediction interval holds what a new setting measures, on seeds of its own;
*effect*: it holds the effect in the new setting itself; *Higgins*: the interval of Higgins,
Thompson & Spiegelhalter (2009) does so.
"""

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ablab.stats.meta import Measured, Pooled, clusters_of, combined, correlations, pool
from benchmarks.bank.table import read_bank

COUNTS = (3, 5, 9)
SPREADS = (0.0, 0.5, 1.0)  # standard deviations of a run


@dataclass(frozen=True)
class Cell:
    """A number of settings, their spread, and whether pairs of them share a baseline."""

    settings: int
    spread: float
    shared: bool


@dataclass(frozen=True)
class Outcome:
    """What one replication gave."""

    error: bool
    ignoring: bool
    corrected: bool
    predicted: bool
    effect: bool
    higgins: bool


@dataclass(frozen=True)
class Bank:
    """Centred losses in standard deviations of a run, `(arms, seeds)`."""

    noise: np.ndarray
    seeds: int

    def draw(self, cell: Cell, rng: np.random.Generator) -> tuple[list[Measured], np.ndarray]:
        """Return the estimates of the settings, and their correlations through shared runs."""
        arms = iter(rng.permutation(len(self.noise)).tolist())
        measured: list[Measured] = []
        weights: list[Mapping[str, float]] = []
        while len(measured) < cell.settings:
            baseline = next(arms)
            drawn = rng.permutation(self.noise.shape[1])[: self.seeds]
            for _ in range(min(2 if cell.shared else 1, cell.settings - len(measured))):
                arm = next(arms)
                difference = self.noise[arm, drawn] - self.noise[baseline, drawn]
                measured.append(self._measured(difference, cell, rng))
                share = 1 / self.seeds
                runs = {f"{arm} {seed}": share for seed in drawn}
                weights.append({**runs, **{f"{baseline} {seed}": -share for seed in drawn}})
        return measured, correlations(weights)

    def _measured(self, difference: np.ndarray, cell: Cell, rng: np.random.Generator) -> Measured:
        factor = 1 / math.sqrt(1 - self.seeds / self.noise.shape[1])
        effect = cell.spread * rng.standard_normal()
        variance = float(difference.var(ddof=1)) / self.seeds
        return Measured(effect + float(difference.mean()) * factor, variance, self.seeds - 1)


def replicate(bank: Bank, cell: Cell, rng: np.random.Generator) -> Outcome:
    """Draw settings, pool them, and draw a new one."""
    measured, correlation = bank.draw(cell, rng)
    pooled = pooled_over_clusters(measured, correlation)
    (new,), _ = bank.draw(Cell(1, cell.spread, shared=False), rng)
    effect = cell.spread * rng.standard_normal()
    low, high = pooled.prediction or (math.nan, math.nan)
    corrected = [
        Measured(each.estimate, each.variance * each.dof / (each.dof - 2), each.dof)
        for each in measured
    ]
    return Outcome(
        error=_excludes_zero(pooled),
        ignoring=_excludes_zero(pool(measured)),
        corrected=_excludes_zero(pooled_over_clusters(corrected, correlation)),
        predicted=low <= new.estimate <= high,
        effect=low <= effect <= high,
        higgins=abs(effect - pooled.estimate) <= _higgins(pooled),
    )


def _higgins(pooled: Pooled) -> float:
    """Return half the width of the interval of Higgins, Thompson & Spiegelhalter (2009)."""
    if pooled.prediction is None or pooled.tau is None:
        return math.nan
    error = (pooled.high - pooled.low) / 2 / float(stats.t.ppf(0.975, pooled.clusters - 1))
    return float(stats.t.ppf(0.975, pooled.clusters - 2)) * math.hypot(pooled.tau, error)


def pooled_over_clusters(measured: Sequence[Measured], correlation: np.ndarray) -> Pooled:
    """Return the mean over clusters, as `ablab evidence` computes it."""
    clusters = clusters_of(correlation, range(len(measured)))
    return pool(
        [
            combined([measured[i] for i in each], correlation[np.ix_(each, each)])
            for each in clusters
        ]
    )


def _excludes_zero(pooled: Pooled) -> bool:
    return not pooled.low <= 0 <= pooled.high


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meta_error_rates")
    parser.add_argument("--replications", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=6, help="seeds of each setting")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    source = read_bank()
    runs = source.arms(source.all_changes)
    noise = runs - runs.mean(1, keepdims=True)
    bank = Bank(noise / math.sqrt(runs.var(1, ddof=1).mean()), options.seeds)
    names = ("settings", "spread", "runs", "error", "ignoring", "corrected")
    print(f"| {' | '.join((*names, 'prediction', 'effect', 'Higgins'))} |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for shared in (False, True):
        for count in COUNTS:
            for spread in SPREADS:
                cell = Cell(count, spread, shared)
                rng = np.random.default_rng([count, int(10 * spread), shared, options.seeds])
                _print(cell, [replicate(bank, cell, rng) for _ in range(options.replications)])
    print(f"\n{options.replications} replications a row, {time.perf_counter() - start:.0f} s")


def _print(cell: Cell, outcomes: Sequence[Outcome]) -> None:
    errors = [_rate(outcomes, name) for name in ("error", "ignoring", "corrected")]
    held = [_rate(outcomes, name) for name in ("predicted", "effect", "higgins")]
    if cell.shared and cell.settings == COUNTS[0]:  # two clusters predict nothing
        held = ["–"] * len(held)
    runs = "shared" if cell.shared else "own"
    cells = [f"{cell.settings}", f"{cell.spread:g}", runs, *errors, *held]
    print(f"| {' | '.join(cells)} |", flush=True)


def _rate(outcomes: Sequence[Outcome], name: str) -> str:
    return f"{np.mean([getattr(outcome, name) for outcome in outcomes]):.3f}"


if __name__ == "__main__":
    main()
