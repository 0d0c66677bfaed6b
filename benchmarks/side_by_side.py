"""Timing of several things in one process, in turn, and how their ratios are printed."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

import torch

from ablab.train.costs.decoding import synchronise
from ablab.train.machine import processor

Action = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """The seconds of an action: the median of each round."""

    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median over the rounds."""
        return median(self.rounds)

    def faster_than(self, other: "Times") -> float:
        """Return how many times as fast as another this is: the median ratio of their rounds."""
        return median(theirs / own for own, theirs in zip(self.rounds, other.rounds, strict=True))


def in_turn(actions: Mapping[str, Action], rounds: int, calls: int) -> dict[str, Times]:
    """Time actions in turn, `calls` calls of each in a round, after two calls to warm up.

    The order of a round is random, so that no action always follows the same one.
    """
    for action in actions.values():
        action()
        action()
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for names in shuffled(list(actions), rounds):
        for name in names:
            seconds[name].append(median(_seconds(actions[name]) for _ in range(calls)))
    return {name: Times(tuple(each)) for name, each in seconds.items()}


def shuffled(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """Yield the names in random order, once for each round."""
    drawn = Random(0)
    for _ in range(rounds):
        yield drawn.sample(list(names), len(names))


def _seconds(action: Action) -> float:
    synchronise()
    start = perf_counter()
    action()
    synchronise()
    return perf_counter() - start


def environment(*packages: str) -> dict[str, Any]:
    """Return the hardware, the number of threads and the versions of torch and of packages."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        **{package: _version(package) for package in packages},
    }


def in_words(environment: Mapping[str, Any]) -> str:
    """Return the environment on one line."""
    return ", ".join(f"{name} {value}" for name, value in environment.items())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, its first column to the left and the others to the right."""
    lines = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join((first, *others)))


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write the results of a benchmark, if a file is wanted."""
    if path is not None:
        plain = json.dumps(content, indent=2, default=asdict, allow_nan=False)
        path.write_text(plain + "\n", encoding="utf-8")
