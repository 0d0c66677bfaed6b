"""The bank's table of runs."""

import csv
import io
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("bank.csv.xz")
LR = 4.0e-3  # the recipe's; fewer seeds were trained at others


@dataclass(frozen=True)
class Bank:
    """Losses of arms on common seeds. An arm is the set of its changes to the baseline."""

    losses: dict[tuple[frozenset[str], float], np.ndarray]
    """val/bpb by changes and learning rate, `(seeds,)`, in the order of the seeds."""

    def arms(self, changes: Sequence[frozenset[str]], lr: float = LR) -> np.ndarray:
        """Return the losses of arms, `(arms, seeds)`. Raises KeyError if the bank lacks one."""
        return np.stack([self.losses[each, lr] for each in changes])

    @property
    def all_changes(self) -> list[frozenset[str]]:
        """The arms that were trained with the recipe's learning rate."""
        return [changes for changes, lr in self.losses if lr == LR]


@lru_cache(maxsize=1)
def read_bank(path: Path = TABLE) -> Bank:
    """Read the table that `python -m benchmarks.bank` wrote.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a run diverged, or if arms with one learning rate have unequal seeds.

    """
    rows = list(csv.DictReader(io.StringIO(lzma.decompress(path.read_bytes()).decode())))
    if any(int(row["diverged"]) for row in rows):
        raise ValueError("a run of the bank diverged")
    base = next(set(row["changes"].split()) for row in rows if row["arm"] == "gpt2")
    groups: dict[tuple[frozenset[str], float], dict[int, float]] = {}
    for row in rows:
        key = frozenset(set(row["changes"].split()) ^ base), float(row["lr"])
        groups.setdefault(key, {})[int(row["seed"])] = float(row["val/bpb"])
    for lr in {lr for _, lr in groups}:
        if len({frozenset(seeds) for (_, own), seeds in groups.items() if own == lr}) != 1:
            raise ValueError(f"the arms of the bank have unequal seeds at learning rate {lr:g}")
    return Bank({key: np.array([v for _, v in sorted(g.items())]) for key, g in groups.items()})
