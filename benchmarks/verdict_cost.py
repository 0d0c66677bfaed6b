"""Training compute to a verdict.

    python -m benchmarks.verdict_cost [--studies 1000] [--margin 1.25] [--json FILE]

Replays the bank of runs that `python -m benchmarks.bank` trained; nothing is trained. Two ways to
judge the six changes from GPT-2 to LLaMA are compared, and those between them:

- The flagship's: a fraction of 16 arms, in which every run counts for every change, seeds that the
  arms share, looks after 6, 8, 10 and 12 seeds, and one learning rate for all arms, tuned on the
  two ends.
- The usual one: each change alone beside the baseline, every arm with seeds of its own, a fixed
  number of them, and a learning rate tuned for each arm.

A verdict is right if it says *helps* or *hurts* with the sign of the true effect, or *equivalent*
where the true effect is smaller than the margin. Every other way gets the smallest number of seeds
with which its share of right verdicts reaches that of the flagship's way and at most 6 % of its
studies err (or as many as the flagship's, if those are more), each within half a percentage point.
Its training compute is then compared. Effects are those of the bank, and planted ones of 0,
0.5, 1 and 3 margins.

Studies draw seeds with replacement, so that they can have more seeds than the bank. Tuning an arm
costs 8 trials on half of a run's budget. Its error is left out, which favours tuning each arm:
there it widens the intervals.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bank.drawn_studies import RealNoise, drawn_designs
from benchmarks.bank.table import TABLE, Bank, read_bank
from benchmarks.error_rates import EFFECTS, MARGIN, outcome
from benchmarks.replay import ERROR_LIMIT
from benchmarks.side_by_side import print_table, write_json
from benchmarks.simulated_studies import SimulatedDesign

FRACTION, ALONE = "2^(6-2)", "compare 7"
LOOKS = (6, 8, 10, 12)
SEEDS = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96)
TUNING_RUNS = 8 * 0.5
"""Trials of an arm, in runs."""
SHARED_TUNINGS = 2
TOLERANCE = 0.005
"""By how much fewer verdicts of another way may be right, and more of its studies err, since shares
differ by chance, too."""
RUN_FLOPS = 2.0e11  # of the bank
REAL = "real"


@dataclass(frozen=True)
class Way:
    """How to reach verdicts: a design, whether it looks at several numbers of seeds, how many arms
    are tuned (None: all), and whether arms share their seeds.
    """

    name: str
    design: str
    adaptive: bool
    tuned: int | None
    paired: bool = True

    def looks(self, seeds: int) -> tuple[int, ...]:
        """Return the looks, of which `seeds` is the first; none of a fixed study."""
        return tuple(round(seeds * look / LOOKS[0]) for look in LOOKS) if self.adaptive else ()


FLAGSHIP = Way("flagship: fraction, paired, looks, one tuning", FRACTION, True, SHARED_TUNINGS)
WAYS = (
    FLAGSHIP,
    Way("fraction, paired, fixed seeds, one tuning", FRACTION, False, SHARED_TUNINGS),
    Way("alone, paired, looks, one tuning", ALONE, True, SHARED_TUNINGS),
    Way("alone, paired, fixed seeds, one tuning", ALONE, False, SHARED_TUNINGS),
    Way("alone, unpaired, fixed seeds, one tuning", ALONE, False, SHARED_TUNINGS, paired=False),
    Way("usual: alone, unpaired, fixed, each tuned", ALONE, False, None, paired=False),
)


@dataclass(frozen=True)
class Price:
    """What verdicts cost: the share that is right, the family's error rate, and the runs of a
    study, on average, without trials (`runs`) and of trials (`trials`, in runs).
    """

    seeds: int
    right: float
    error: float
    runs: float
    trials: float

    @property
    def flops(self) -> float:
        """The training FLOPs of a study."""
        return (self.runs + self.trials) * RUN_FLOPS


@dataclass(frozen=True)
class Bench:
    """The designs and the noise that studies are drawn from."""

    bank: Bank
    studies: int
    margin: float = MARGIN
    """The smallest effect that matters, in standard deviations of a run."""

    def price(self, way: Way, effect: float | str, seeds: int) -> Price:
        """Return what the verdicts of a way cost with so many seeds."""
        design = replace(_designs()[way.design], disjoint=not way.paired)
        deviations, real = self._noise(design)
        looks = way.looks(seeds)
        rng = np.random.default_rng([7, seeds])
        arms, population = deviations.shape
        size = (self.studies, 1 if way.paired else arms, max((seeds, *looks)))
        drawn = rng.integers(population, size=size)
        runs = deviations[np.arange(arms)[:, None], drawn]  # (studies, arms, seeds)
        means = real if effect == REAL else design.means(MARGIN * float(effect))
        result = outcome(design, runs, means, looks)
        changes = [i for i, contrast in enumerate(design.contrasts) if contrast.kind == "change"]
        right = (result.found | result.equivalent)[:, changes]
        tuned = len(design.arms) if way.tuned is None else way.tuned
        return Price(
            seeds,
            float(right.mean()),
            float(result.error.mean()),
            float(runs_of(design, result.seeds).mean()),
            tuned * TUNING_RUNS,
        )

    def _noise(self, design: SimulatedDesign) -> tuple[np.ndarray, np.ndarray]:
        """Return the deviations of the arms' runs `(arms, seeds)` and their means `(arms,)`, in
        standard deviations of a run. These are common to all designs, so that the margin is, too.
        """
        every = list(
            dict.fromkeys(c for each in _designs().values() for c in each.changes.values())
        )
        noise = RealNoise.of(self.bank, every)
        rows = [every.index(changes) for changes in design.changes.values()]
        scale = MARGIN / self.margin  # the judges' margin is MARGIN
        # Drawn with replacement, n runs vary as if their variance were divided by n, not n - 1.
        population = noise.deviations.shape[1]
        unbiased = np.sqrt(population / (population - 1))
        return scale * unbiased * noise.deviations[rows], scale * noise.means[rows]

    def match(
        self, way: Way, effect: float | str, right: float, error: float = 1.0
    ) -> Price | None:
        """Return the price with the fewest seeds whose verdicts are right at least as often as
        `right`, and whose studies err at most as often as `error`, or None if the largest number of
        seeds is too small.
        """
        for seeds in SEEDS:
            price = self.price(way, effect, seeds)
            if price.right >= right and price.error <= error:
                return price
        return None

    def row(self, effect: float | str) -> Iterator[tuple[Way, Price | None]]:
        """Yield what each way costs, the flagship's first."""
        flagship = self.price(FLAGSHIP, effect, LOOKS[0])
        yield FLAGSHIP, flagship
        error = max(flagship.error, ERROR_LIMIT) + TOLERANCE
        for way in WAYS[1:]:
            yield way, self.match(way, effect, flagship.right - TOLERANCE, error)


def runs_of(design: SimulatedDesign, seeds: np.ndarray) -> np.ndarray:
    """Return the runs of each study, `(studies,)`: every arm has as many seeds as the contrast that
    needs most of it. `seeds` are those of the contrasts, `(studies, contrasts)`.
    """
    used = np.array([[arm in c.weights for c in design.contrasts] for arm in design.arms])
    return np.where(used, seeds[:, None], 0).max(-1).sum(-1)  # (studies, arms, contrasts)


@lru_cache(maxsize=1)
def _designs() -> dict[str, SimulatedDesign]:
    return {
        name: SimulatedDesign(name, each.changes, each.contrasts)
        for name, each in drawn_designs(0).items()
        if name in (FRACTION, ALONE)
    }


def correlation(bank: Bank, design: SimulatedDesign) -> float:
    """Return the mean correlation of two arms' runs over the seeds that they share."""
    matrix = np.corrcoef(bank.arms(list(design.changes.values())))
    return float(matrix[np.triu_indices_from(matrix, 1)].mean())


def _cells(way: Way, price: Price | None, flagship: Price) -> tuple[str, ...]:
    if price is None:
        return (way.name, f"> {SEEDS[-1]}", "", "", "", "", "", "")
    seeds = f"{price.seeds} to {way.looks(price.seeds)[-1]}" if way.adaptive else f"{price.seeds}"
    return (
        way.name,
        seeds,
        f"{price.right:.3f}",
        f"{price.error:.3f}",
        f"{price.runs:.0f}",
        f"{price.trials:.0f}",
        f"{price.flops / 1e12:.1f}",
        f"{flagship.flops / price.flops:.2f}",
    )


def print_effect(bench: Bench, effect: float | str) -> dict[str, Price | None]:
    """Print what the ways cost at an effect, and return it."""
    prices = dict(bench.row(effect))
    flagship = prices[FLAGSHIP]
    assert flagship is not None
    print("\nreal effects" if effect == REAL else f"\neffects of {effect:g} margins")
    heads = ("", "seeds", "right", "error", "runs", "trials", "TFLOP", "flagship's share")
    cells = partial(_cells, flagship=flagship)
    print_table(heads, [cells(way, price) for way, price in prices.items()])
    return {way.name: price for way, price in prices.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.verdict_cost")
    parser.add_argument("--studies", type=int, default=1_000)
    parser.add_argument("--margin", type=float, default=MARGIN, help="in run sds")
    parser.add_argument("--table", type=Path, default=TABLE, help="the bank's table")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    bench = Bench(read_bank(options.table), options.studies, options.margin)
    for name, design in _designs().items():
        print(
            f"{name}: runs of two arms on a seed correlate by {correlation(bench.bank, design):.2f}"
        )
    results: dict[str, Any] = {
        str(effect): print_effect(bench, effect) for effect in (REAL, *EFFECTS)
    }
    write_json(options.json, results)


if __name__ == "__main__":
    main()
