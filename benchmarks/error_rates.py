"""How often verdicts err, how often intervals cover, and how many effects are found:
`python -m benchmarks.error_rates [--studies 10000] [--workers 2] [--csv FILE]`.

Simulated studies go through the procedure that judges real ones, many at once. For every design,
number of seeds and kind of noise, every change has an effect of 0, 0.5, 1 and 3 margins; a margin
is 1.25 standard deviations of a run. An error is a primary verdict that is false: *helps* or
*hurts* where there is no effect or it has the other sign, or *equivalent* where the effect is as
large as the margin.
"""

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import special

from ablab.stats.inference.error_terms import estimate_all
from ablab.stats.inference.procedure import EQUIVALENT, Procedure, holm
from ablab.stats.inference.sequential import looks
from ablab.stats.inference.table import Table
from ablab.stats.inference.verdict_types import Rules
from benchmarks.outlier_rates import print_outlier_rates
from benchmarks.simulated_studies import NOISES, UNLUCKY_ARM, Noise, SimulatedDesign, designs

MARGIN = 1.25
EFFECTS = (0.0, 0.5, 1.0, 3.0)
SEEDS: tuple[int | tuple[int, int], ...] = (4, 6, 8, 12, (4, 6), (4, 12))
_CHUNK = 2500


@dataclass(frozen=True)
class Cell:
    """A design with a number of seeds, or a first and a last one, and a kind of noise."""

    design: str
    seeds: int | tuple[int, int]
    noise: str

    @property
    def looks(self) -> tuple[int, ...]:
        """The looks of an adaptive study."""
        return looks(*self.seeds) if isinstance(self.seeds, tuple) else ()

    @property
    def seeds_text(self) -> str:
        """The number of seeds, as `6` or `4..12`."""
        return "..".join(map(str, self.seeds)) if isinstance(self.seeds, tuple) else str(self.seeds)


@dataclass(frozen=True)
class Rates:
    """Rates of one cell. `errors` are by effect; the coverages are the lowest and the highest of a
    primary interval, over all effects; `width` is the median width of an adaptive study's intervals
    in units of those of fixed studies with as many seeds.
    """

    cell: Cell
    errors: tuple[float, ...]
    lowest: float
    highest: float
    width: float

    @property
    def passes(self) -> bool:
        """Whether the rates are within the limits."""
        limit = next(
            noise.limit for noise in (*NOISES, UNLUCKY_ARM) if noise.name == self.cell.noise
        )
        too_wide = self.width > 1.4 if self.cell.looks else self.highest > limit
        return max(self.errors) <= 0.06 and self.lowest >= 0.93 and not too_wide


@lru_cache(maxsize=1)
def _designs() -> dict[str, SimulatedDesign]:
    return designs()


def rates(cell: Cell, studies: int, seed: int = 0) -> Rates:
    """Simulate the studies of a cell, of every effect on the same noise."""
    design = _designs()[cell.design]
    noise = next(noise for noise in (*NOISES, UNLUCKY_ARM) if noise.name == cell.noise)
    most = cell.looks[-1] if cell.looks else cell.seeds
    assert isinstance(most, int)
    rng = np.random.default_rng([seed, *cell.design.encode(), *cell.noise.encode()])
    outcomes = [
        [outcome(design, runs, design.means(MARGIN * effect), cell.looks) for effect in EFFECTS]
        for runs in _draws(design, noise, rng, (studies, most))
    ]
    errors = np.mean([[o.error.mean() for o in chunk] for chunk in outcomes], axis=0)
    coverage = np.mean([[o.covered.mean(0) for o in chunk] for chunk in outcomes], axis=0)
    widths = np.concatenate([o.widths.ravel() for chunk in outcomes for o in chunk])
    return Rates(
        cell,
        tuple(errors.tolist()),
        float(coverage.min()),
        float(coverage.max()),
        float(np.median(widths)) if cell.looks else 1.0,
    )


def _draws(
    design: SimulatedDesign, noise: Noise, rng: np.random.Generator, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    studies, seeds = size
    for _ in range(0, studies, _CHUNK):
        yield noise.draw(rng, design, min(_CHUNK, studies), seeds)


@dataclass(frozen=True)
class Outcome:
    """Outcomes of simulated studies: whether any primary verdict is false `(studies,)`; whether the
    intervals cover, their widths relative to a fixed study, which changes were found, which were
    rightly called equivalent, and how many seeds it took, `(studies, contrasts)`.
    """

    error: np.ndarray
    covered: np.ndarray
    widths: np.ndarray
    found: np.ndarray
    equivalent: np.ndarray
    seeds: np.ndarray


def outcome(
    design: SimulatedDesign, noise: np.ndarray, means: np.ndarray, looks: tuple[int, ...]
) -> Outcome:
    """Judge studies whose arms have these means `(arms,)`, in standard deviations of a run."""
    table = design.table(noise, means)
    procedure = Procedure(design.contrasts, Rules(MARGIN, looks, sign=-1), len(noise))
    if looks:
        procedure.adaptive(table)
    else:
        procedure.look(table)
    truth = design.truth(means)
    readings = procedure.readings
    different = procedure.adjusted() < 0.05
    wrong_sign = np.sign(readings.sign) != np.sign(truth)
    false = different & wrong_sign
    false |= (readings.decision == EQUIVALENT) & (np.abs(truth) >= MARGIN - 1e-9)
    return Outcome(
        error=false.any(1),
        covered=(readings.low <= truth) & (truth <= readings.high),
        widths=(readings.high - readings.low) / 2 / _fixed_widths(procedure, table, looks),
        found=different & ~wrong_sign,
        equivalent=(readings.decision == EQUIVALENT) & (np.abs(truth) < MARGIN - 1e-9),
        seeds=readings.seeds,
    )


def _fixed_widths(procedure: Procedure, table: Table, looks: Sequence[int]) -> np.ndarray:
    """Return half the width of the intervals of fixed studies of the same runs, with as many
    seeds.
    """
    seeds = procedure.readings.seeds
    widths = np.ones(seeds.shape)
    for count in looks:
        fixed = estimate_all(table.first(dict.fromkeys(table.index, count)), procedure.questions)
        for column, result in enumerate(fixed):
            assert result is not None
            chosen = seeds[:, column] == count
            widths[chosen, column] = result.half_width(0.05)[chosen]
    return widths


def power(design: SimulatedDesign, seeds: int, studies: int) -> tuple[float, float]:
    """Return the share of changes found at equal variances, and that share relative to the share
    found with one error term that is pooled over all arms. The effect of every change is that which
    the pooled test finds with a power of 80 % at the first step of Holm's procedure.
    """
    arms = len(design.arms)
    weights = np.array([[c.weights.get(a, 0.0) for a in design.arms] for c in design.contrasts])
    changes = [i for i, c in enumerate(design.contrasts) if c.kind == "change"]
    dof = (arms - 1) * (seeds - 1)
    error = np.sqrt((weights[changes[0]] ** 2).sum() / seeds)
    effect = error * _noncentrality(dof, special.stdtrit(dof, 1 - 0.05 / len(weights) / 2))
    rng = np.random.default_rng(7)
    found, pooled = [], []
    for noise in _draws(design, NOISES[0], rng, (studies, seeds)):
        found.append(outcome(design, noise, design.means(effect), ()).found[:, changes].mean())
        values = noise + effect * design.means(1.0)[:, None]
        residual = noise - noise.mean(2, keepdims=True) - noise.mean(1, keepdims=True)
        residual += noise.mean((1, 2), keepdims=True)
        sd = np.sqrt((residual**2).sum((1, 2)) / dof)
        errors = sd[:, None] * np.sqrt((weights**2).sum(1) / seeds)
        t = np.abs(values.mean(2) @ weights.T) / errors
        pooled.append((holm(2 * special.stdtr(dof, -t)) < 0.05)[:, changes].mean())
    return float(np.mean(found)), float(np.mean(found) / np.mean(pooled))


def _noncentrality(dof: float, critical: float) -> float:
    """Return the noncentrality at which a t test has a power of 80 %."""
    return float(special.nctdtrinc(dof, 0.2, critical))


def cells(noises: Sequence[Noise]) -> list[Cell]:
    """Return the cells of the table for these kinds of noise."""
    return [
        Cell(design, seeds, noise.name)
        for design in _designs()
        for seeds in SEEDS
        for noise in noises
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of error rates and of power."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.error_rates")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    tasks = cells([*NOISES, UNLUCKY_ARM])
    with ProcessPoolExecutor(options.workers) as pool:
        every = list(pool.map(rates, tasks, [options.studies] * len(tasks), chunksize=3))
    table = [row for row in every if row.cell.noise != UNLUCKY_ARM.name]
    _print_rates(table)
    print(f"\n{UNLUCKY_ARM.name}, without limits")
    _print_rates([row for row in every if row.cell.noise == UNLUCKY_ARM.name])
    _print_power(options.studies)
    print_outlier_rates(_designs(), options.studies)
    if options.csv:
        _write(options.csv, every)
    failed = [row for row in table if not row.passes]
    print(
        f"{len(table)} cells of {options.studies} studies, {len(failed)} beyond the limits, ",
        end="",
    )
    print(f"{time.perf_counter() - start:.0f} s")
    for row in failed:
        print(f"  {row}")


def _print_rates(table: Sequence[Rates]) -> None:
    """Print the worst of each design and number of seeds over the kinds of noise."""
    print(f"{'design':27}{'seeds':>6}  error at 0 / .5 / 1 / 3 margins   coverage      width")
    for (design, seeds), rows in _grouped(table).items():
        errors = " ".join(f"{max(row.errors[i] for row in rows):.3f}" for i in range(len(EFFECTS)))
        lowest = min(row.lowest for row in rows)
        highest = max(row.highest for row in rows)
        width = max(row.width for row in rows)
        print(f"{design:27}{seeds:>6}  {errors:32}  {lowest:.3f}–{highest:.3f}  {width:.2f}")


def _grouped(table: Sequence[Rates]) -> dict[tuple[str, str], list[Rates]]:
    groups: dict[tuple[str, str], list[Rates]] = {}
    for row in table:
        groups.setdefault((row.cell.design, row.cell.seeds_text), []).append(row)
    return groups


def _print_power(studies: int) -> None:
    print("\npower at equal variances, relative to one pooled error term, at 4, 6, 8, 12 seeds")
    for name, design in _designs().items():
        if not design.disjoint:
            values = [f"{power(design, n, studies)[1]:.2f}" for n in (4, 6, 8, 12)]
            print(f"{name:27}{'  '.join(values)}")


def _write(path: Path, table: Sequence[Rates]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        names = [f"error_{effect:g}" for effect in EFFECTS]
        writer.writerow(["design", "seeds", "noise", *names, "lowest", "highest", "width"])
        for row in table:
            cell = row.cell
            figures = [*row.errors, row.lowest, row.highest, row.width]
            writer.writerow(
                [cell.design, cell.seeds_text, cell.noise, *(f"{x:.4f}" for x in figures)]
            )


if __name__ == "__main__":
    main()
