"""How often verdicts err and intervals cover on the noise of real runs: `python -m
benchmarks.replay [--studies 10000] [--normal-banks 0] [--table FILE]`.

Studies are drawn from the bank of runs that `python -m benchmarks.bank` trained, and judged by the
procedure that judges real ones. Effects of 0, 0.5, 1 and 3 margins replace those of the arms; the
last column keeps the real ones. A margin is 1.25 standard deviations of a run. The arms are drawn
from the whole bank in each study, and are those of the design in the second table, where a rate
depends on the few runs that stand for each. In A/A comparisons both arms are disjoint sets of runs
of one arm.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bank.drawn_studies import DrawnDesign, RealNoise, drawn_designs
from benchmarks.bank.table import TABLE, Bank, read_bank
from benchmarks.error_rates import EFFECTS, MARGIN, SEEDS, Cell, Outcome, outcome
from benchmarks.simulated_studies import SimulatedDesign

OWN, SHUFFLED = "arms of the design", "arms at random"
ERROR_LIMIT, COVERAGE_LIMIT = 0.06, 0.93
_CHUNK = 2500


@dataclass(frozen=True)
class Replay:
    """Rates of a design: errors by effect; lowest and highest coverage of a primary interval over
    all effects.
    """

    cell: Cell
    errors: tuple[float, ...]
    lowest: float
    highest: float

    @property
    def passes(self) -> bool:
        """Whether the rates are within the limits."""
        return max(self.errors) <= ERROR_LIMIT and self.lowest >= COVERAGE_LIMIT


def replay(bank: Bank, design: DrawnDesign, cell: Cell, studies: int) -> Replay:
    """Draw the studies of a cell, of every effect on the same runs.

    With arms of its own, the last of the effects are the real ones; arms drawn at random
    (`cell.noise` is SHUFFLED) have none.
    """
    shuffled = cell.noise == SHUFFLED
    noise = RealNoise.of(bank, bank.all_changes if shuffled else list(design.changes.values()))
    rng = np.random.default_rng([*cell.design.encode(), *cell.seeds_text.encode()])
    means = [design.means(MARGIN * effect) for effect in EFFECTS]
    if not shuffled:
        means.append(noise.means)
    outcomes: list[list[Outcome]] = []
    for _ in range(0, studies, _CHUNK):
        size = min(_CHUNK, studies), len(design.arms), most_seeds(cell)
        drawn = noise.draw(rng, size, disjoint=design.disjoint, shuffled=shuffled)
        outcomes.append([outcome(design, drawn, each, cell.looks) for each in means])
    errors = np.mean([[o.error.mean() for o in chunk] for chunk in outcomes], axis=0)
    coverage = np.mean([[o.covered.mean(0) for o in chunk] for chunk in outcomes], axis=0)
    return Replay(cell, tuple(errors.tolist()), float(coverage.min()), float(coverage.max()))


def most_seeds(cell: Cell) -> int:
    """Return the number of seeds of a cell, the largest of an adaptive one."""
    return max(cell.looks) if isinstance(cell.seeds, tuple) else cell.seeds


def same_arm(
    bank: Bank, design: SimulatedDesign, cell: Cell, studies: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors and the coverages of A/A comparisons, `(arms,)` of the bank.

    The difference of two disjoint sets of runs varies as that of two sets of new ones, so that no
    correction is due.
    """
    rng = np.random.default_rng([3, *cell.seeds_text.encode()])
    most = most_seeds(cell)
    errors, coverages = [], []
    for changes in bank.all_changes:
        runs = RealNoise.of(bank, [changes]).deviations[0]
        ranks = rng.random((studies, len(runs))).argsort(-1)[:, : 2 * most]
        sides = runs[ranks].reshape(studies, 2, most)
        result = outcome(design, sides, np.zeros(2), cell.looks)
        errors.append(result.error.mean())
        coverages.append(result.covered.mean())
    return np.array(errors), np.array(coverages)


def normal_bank(bank: Bank, rng: np.random.Generator) -> Bank:
    """Return a bank of normal noise with the standard deviations and means of the real one."""
    losses = {
        key: runs.mean() + runs.std(ddof=1) * rng.standard_normal(len(runs))
        for key, runs in bank.losses.items()
    }
    return Bank(losses)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.replay")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--table", type=Path, default=TABLE, help="the bank's table")
    parser.add_argument("--normal-banks", type=int, default=0, help="banks of normal noise, too")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    bank = read_bank(options.table)
    population = len(next(iter(bank.losses.values())))
    designs = drawn_designs(population)
    _print_noise(bank)
    failed = _print_designs(bank, designs, options.studies)
    _print_same_arm(bank, designs, options.studies)
    print(f"\n{len(failed)} cells beyond the limits, {time.perf_counter() - start:.0f} s")
    for row in failed:
        print(f"  {row}")
    if options.normal_banks:
        _print_normal_banks(bank, designs, options)


def _print_noise(bank: Bank) -> None:
    """Print how noisy the arms are."""
    runs = bank.arms(bank.all_changes)
    sds = np.sort(runs.std(1, ddof=1))
    print(f"{len(sds)} arms × {runs.shape[1]} seeds; standard deviation of a run: ", end="")
    print(f"{sds[0]:.4f} to {sds[-1]:.4f}, median {np.median(sds):.4f}")
    between = runs.mean(0).var(ddof=1) - (sds**2).mean() / len(sds)
    print(f"share of it common to the arms on a seed: {max(between, 0) / (sds**2).mean():.0%}\n")


def _rows(
    bank: Bank, designs: dict[str, DrawnDesign], noise: str, studies: int
) -> Iterator[Replay]:
    for name, design in designs.items():
        for seeds in SEEDS:
            yield replay(bank, design, Cell(name, seeds, noise), studies)


def _print_designs(bank: Bank, designs: dict[str, DrawnDesign], studies: int) -> list[Replay]:
    """Print the tables of the designs, and return the rows beyond the limits."""
    failed = []
    for noise, last in ((SHUFFLED, ""), (OWN, ", real effects")):
        print(f"\n{noise}")
        print(f"{'design':27}{'seeds':>6}  error at 0 / .5 / 1 / 3 margins{last:14}   coverage")
        for row in _rows(bank, designs, noise, studies):
            errors = " ".join(f"{error:.3f}" for error in row.errors)
            coverage = f"{row.lowest:.3f}–{row.highest:.3f}"
            cell = row.cell
            print(f"{cell.design:27}{cell.seeds_text:>6}  {errors:45}  {coverage}", flush=True)
            if not row.passes:
                failed.append(row)
    return failed


def _print_same_arm(bank: Bank, designs: dict[str, DrawnDesign], studies: int) -> None:
    """Print the A/A errors, over all arms and of the worst arm."""
    print("\nA/A: disjoint runs of one arm     seeds  error   worst arm  coverage")
    for name in ("compare 2", "compare 2, disjoint seeds"):
        drawn = designs[name]
        plain = SimulatedDesign(name, drawn.changes, drawn.contrasts, drawn.disjoint)
        for seeds in (4, 6, 8, 10, (4, 6), (4, 10)):
            cell = Cell(name, seeds, "bank")
            errors, coverages = same_arm(bank, plain, cell, studies)
            text = f"{errors.mean():.3f}   {errors.max():.3f}      {coverages.mean():.3f}"
            print(f"{name:34}{cell.seeds_text:>5}  {text}", flush=True)


def _print_normal_banks(
    bank: Bank, designs: dict[str, DrawnDesign], options: argparse.Namespace
) -> None:
    """Print how many cells banks of normal noise have beyond the limits."""
    rng = np.random.default_rng(5)
    for noise in (SHUFFLED, OWN):
        counts = []
        for _ in range(options.normal_banks):
            rows = _rows(normal_bank(bank, rng), designs, noise, options.studies)
            counts.append(sum(not row.passes for row in rows))
        text = f"{np.mean(counts):.1f} cells beyond the limits, {min(counts)} to {max(counts)}"
        print(f"{options.normal_banks} banks of normal noise, {noise}: {text}", flush=True)


if __name__ == "__main__":
    main()
