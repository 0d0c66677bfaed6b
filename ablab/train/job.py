"""The definition of one run and the outcome of training it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ablab.arch.recipe import Recipe
from ablab.arch.value import Architecture
from ablab.data.batches import Batches
from ablab.data.store import TokenStore
from ablab.train.budget import Progress, TimeLimit, TimeProgress, TokenProgress
from ablab.train.file_names import LATEST_CHECKPOINT, WINDOW_SCORES
from ablab.train.result import RunResult

_PAUSE_SECONDS = 0.2  # between readings of the clock on CUDA, which must wait for the device


@dataclass(frozen=True)
class Job:
    """The complete definition of one run.

    `batches` are fixed, or follow from a time limit. `validate_at` are shares of the budget at
    which the validation split is scored. At the end `scored_splits` are. `compile` states whether
    blocks are compiled. `micro_batch` limits the number of sequences processed at once (None: no
    limit).
    """

    arch: Architecture
    recipe: Recipe
    store: TokenStore
    batches: Batches | TimeLimit
    seed: int
    flops_per_token: float
    folder: Path
    validate_at: tuple[float, ...] = (0.25, 0.5, 0.75)
    checkpoint_seconds: float = 30.0
    compile: bool = False
    micro_batch: int | None = None
    scored_splits: tuple[str, ...] = ("val", "test")

    @property
    def steps(self) -> int | None:
        """Total number of steps, or None if it is not known in advance."""
        return self.batches.steps if isinstance(self.batches, Batches) else None

    def progress(self) -> Progress:
        """Return a new progress at the start of the budget."""
        if isinstance(self.batches, Batches):
            return TokenProgress(self.batches, self.validate_at)
        return TimeProgress(
            self.batches,
            self.recipe.ramp,
            self.validate_at,
            _PAUSE_SECONDS if torch.cuda.is_available() else 0.0,
        )

    @property
    def checkpoint(self) -> Path:
        """Path of the latest checkpoint while the run is unfinished."""
        return self.folder / LATEST_CHECKPOINT

    @property
    def window_scores(self) -> Path:
        """Path of the final scores by window of the validation split."""
        return self.folder / WINDOW_SCORES


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call of `train`.

    `result` is None if the run was stopped early. `busy_seconds` were spent in training steps,
    validation and measuring costs by this call.
    """

    result: RunResult | None
    busy_seconds: float
