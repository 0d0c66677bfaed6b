"""Runs in the ranks of a crew: what they log, and what they come to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches
from ablab.data.store import open_store
from ablab.train.job import Job
from ablab.train.parallel import ParallelContext, ParallelLayout
from ablab.train.recorder import Hooks
from ablab.train.run import train

DIMS = {"layers": 2, "width": 32, "heads": 4, "vocab": 304, "context": 16}
SINGLE = ParallelLayout()
DDP, FSDP, TENSOR = (
    ParallelLayout("ddp", 2),
    ParallelLayout("fsdp", 2),
    ParallelLayout("tensor", 1, 2),
)
GRID = ParallelLayout("tensor", 2, 2)


@dataclass(frozen=True)
class Task:
    """A run of `expression` on the tokens in `store`, in `folder`. `stop_after`: how many steps it
    takes this time. `plugins`: a folder of them. `micro_batch`: the most sequences at once.
    """

    expression: str
    store: Path
    folder: Path
    batches: Batches = Batches(((8, 20),))
    recipe: Recipe = field(
        default_factory=lambda: Recipe(batch_tokens=128, lr=1e-3, precision="fp64")
    )
    stop_after: int | None = None
    checkpoint_seconds: float = 30.0
    plugins: Path | None = None
    micro_batch: int | None = None

    def job(self) -> Job:
        arch = architecture(
            self.expression, load_registry((self.plugins,) if self.plugins else ()), DIMS
        )
        store = open_store(self.store)
        return Job(
            arch,
            self.recipe,
            store,
            self.batches,
            1,
            1.0,
            self.folder,
            (0.5,),
            self.checkpoint_seconds,
            micro_batch=self.micro_batch,
        )


def trained(rank: int, task: Task, layout: ParallelLayout) -> dict[str, Any]:
    """The rows logged, and the result, as this rank has them."""
    rows: list[tuple[int, dict[str, float]]] = []
    asked = iter(range(10_000))
    hooks = Hooks(
        log=lambda step, metrics: rows.append((step, dict(metrics))),
        stop=lambda: task.stop_after is not None and next(asked) + 1 >= task.stop_after,
        beat=lambda share, metrics: None,
        resumed=lambda step: rows.append((step, {"resumed": step})),
    )
    torch.set_num_threads(1)
    outcome = train(task.job(), hooks, ParallelContext.join(layout, "cpu"))
    return {"rows": rows, "result": outcome.result}


def losses(rows: list[tuple[int, dict[str, float]]]) -> dict[int, float]:
    """The training losses by step."""
    return {step: row["train/loss"] for step, row in rows if "train/loss" in row}
