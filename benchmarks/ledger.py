"""How often the ledger keeps ideas without an effect, and how many with one it finds: `python -m
benchmarks.ledger [--streams 400] [--table FILE]`.

A stream is a laboratory's 200 ideas, of which 20, anywhere in the stream, are better than the
baseline by three standard deviations of a run, in one context or in all; the others make no
difference. The runs are those of the bank that `python -m benchmarks.bank` trained: the baseline of
a context and each idea is an arm of it, with its mean taken off. All ideas of a stream share the
runs of the baseline, and the seeds, which are drawn from the bank's as whole blocks. The bank has
31 arms, so that the ideas without an effect of a stream are 30 different ones, each several times.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablab.design.layout import Contrast
from ablab.ideas.ledger import ALPHA
from ablab.stats.inference.online import lond_level
from ablab.stats.inference.procedure import Procedure
from ablab.stats.inference.table import Table
from ablab.stats.inference.verdict_types import Rules
from benchmarks.bank.drawn_studies import DrawnTable, RealNoise
from benchmarks.bank.table import TABLE, read_bank

IDEAS, REAL, EFFECT = 200, 20, 3.0
_MARGIN = 1.25  # standard deviations of a run, as in the other replays
_NEVER = 1e-12  # a level that no idea helps at, so that all looks are taken


@dataclass(frozen=True)
class Setting:
    """What ideas are tried on."""

    contexts: int
    seeds: int
    looks: tuple[int, ...] = ()
    everywhere: bool = True
    """Whether real ideas help in all contexts, or in the first alone."""

    def __str__(self) -> str:
        seeds = "/".join(map(str, self.looks)) if self.looks else str(self.seeds)
        where = "" if self.contexts == 1 else " (all)" if self.everywhere else " (one)"
        return f"{self.contexts}{where:6} {seeds:>12}"


@dataclass(frozen=True)
class Rates:
    """Mean false discovery proportion, and share of the real ideas that are kept."""

    false: float
    power: float


@dataclass(frozen=True)
class Stream:
    """What is known of the ideas of streams, `(streams, ideas)`."""

    p: np.ndarray
    """One-sided p, corrected for the looks and the contexts."""
    better: np.ndarray
    """Whether the idea looks better in some context."""
    hurts: np.ndarray
    """Whether it hurts in some context."""
    real: np.ndarray
    """Whether it is real."""


def draw(noise: RealNoise, setting: Setting, streams: int, rng: np.random.Generator) -> Stream:
    """Draw streams of ideas, and judge each as its study does."""
    arms, population = noise.deviations.shape
    real = rng.random((streams, IDEAS)).argsort(1) < REAL
    seeds = rng.random((streams, population)).argsort(1)[:, : setting.seeds]
    baselines = rng.integers(arms, size=(streams, setting.contexts))
    p = np.empty((streams, IDEAS))
    better = np.zeros((streams, IDEAS), bool)
    hurts = np.zeros((streams, IDEAS), bool)
    for idea in range(IDEAS):
        # Never the baseline itself.
        own = (baselines + rng.integers(1, arms, size=baselines.shape)) % arms
        shift = np.where(real[:, idea, None], -EFFECT, 0.0) * np.ones(setting.contexts)
        if not setting.everywhere:
            shift[:, 1:] = 0.0
        runs = np.stack(
            [
                noise.deviations[baselines[..., None], seeds[:, None]],
                noise.deviations[own[..., None], seeds[:, None]],
            ],
            axis=2,
        )
        p[:, idea], better[:, idea], hurts[:, idea] = _judge(runs, shift, setting, population)
    return Stream(p, better, hurts, real)


def _judge(
    runs: np.ndarray, shift: np.ndarray, setting: Setting, population: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return p, whether an idea looks better, and whether it hurts.

    `runs` is `(streams, contexts, 2, seeds)`, of the baseline and of the idea in each context;
    `shift` `(streams, contexts)` is the idea's effect.
    """
    streams, contexts, _, seeds = runs.shape
    names = [f"{kind}{i}" for i in range(contexts) for kind in ("base", "idea")]
    means = np.stack([np.zeros_like(shift), shift], 2).reshape(streams, 2 * contexts)
    present = np.ones((2 * contexts, seeds), bool)
    table = DrawnTable(
        Table(names, runs.reshape(streams, 2 * contexts, seeds), present), means, population
    )
    questions = [
        Contrast(f"idea{i}", "change", {f"idea{i}": 1.0, f"base{i}": -1.0}) for i in range(contexts)
    ]
    rules = Rules(_MARGIN, setting.looks, helps_level=_NEVER, sign=-1)
    procedure = Procedure(questions, rules, streams)
    if setting.looks:
        procedure.adaptive(table)
    else:
        procedure.look(table)
    readings = procedure.readings
    two_sided = procedure.adjusted()
    one_sided = np.where(readings.sign < 0, two_sided / 2, 1 - two_sided / 2)
    hurts = (two_sided < 0.05) & (readings.value > 0)
    return one_sided.min(1), np.any(readings.value < 0, axis=1), np.any(hurts, axis=1)


def kept_by_ledger(stream: Stream) -> np.ndarray:
    """Return the ideas that the ledger keeps, `(streams, ideas)`."""
    kept = np.zeros(stream.p.shape, bool)
    for number in range(stream.p.shape[1]):
        discoveries = kept.sum(1)
        levels = [lond_level(number + 1, int(count), ALPHA) for count in discoveries]
        kept[:, number] = (stream.p[:, number] < levels) & ~stream.hurts[:, number]
    return kept


def rates(kept: np.ndarray, real: np.ndarray) -> Rates:
    """Return the rates of decisions `(streams, ideas)`."""
    false = (kept & ~real).sum(1) / np.maximum(kept.sum(1), 1)
    return Rates(float(false.mean()), float((kept & real).sum(1).mean() / REAL))


def replay(
    noise: RealNoise, setting: Setting, streams: int, rng: np.random.Generator
) -> dict[str, Rates]:
    """Return the rates of the ledger, of a two-sided test at 5 % for each idea, and of keeping what
    looks better.
    """
    stream = draw(noise, setting, streams, rng)
    rules = {
        "ledger": kept_by_ledger(stream),
        "p < 0.05": (stream.p < 0.025) & ~stream.hurts,
        "looks better": stream.better,
    }
    return {name: rates(kept, stream.real) for name, kept in rules.items()}


SETTINGS = (
    Setting(1, 8),
    Setting(1, 12),
    Setting(1, 12, (6, 8, 10, 12)),
    Setting(2, 8),
    Setting(2, 12),
    Setting(2, 12, (6, 8, 10, 12)),
    Setting(2, 8, everywhere=False),
    Setting(2, 12, everywhere=False),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.ledger")
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--table", type=Path, default=TABLE, help="the bank's table")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    bank = read_bank(options.table)
    noise = RealNoise.of(bank, bank.all_changes)
    print(f"{options.streams} streams of {IDEAS} ideas, {REAL} of them real ({EFFECT:g} sd)")
    print("false discoveries among the ideas that are kept / share of the real ones kept")
    print(f"{'contexts':9}{'seeds':>12}   {'ledger':12} {'p < 0.05':12} looks better")
    for number, setting in enumerate(SETTINGS):
        rng = np.random.default_rng([7, number])
        found = replay(noise, setting, options.streams, rng)
        cells = (f"{each.false:.3f} / {each.power:.2f}" for each in found.values())
        print(f"{setting}   {' '.join(cells)}", flush=True)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
