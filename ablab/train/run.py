"""Trains one run, from the start or from its checkpoint, and says what came of it."""

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from safetensors.torch import save

from ablab.arch.build import build_model, seed_of
from ablab.arch.decoder import Decoder
from ablab.arch.recipe import Recipe
from ablab.arch.value import Architecture
from ablab.data.batches import Batches, Sequences
from ablab.data.store import TokenStore
from ablab.files import write_atomically
from ablab.train.checkpoint import AtomicCheckpointIO
from ablab.train.module import TrainedDecoder
from ablab.train.precision import resolve_precision
from ablab.train.recorder import Cadence, Hooks, Recorder
from ablab.train.scoring import score


@dataclass(frozen=True)
class Job:
    """All that one run is made of. `validate_at`: shares of the budget at which the validation split is scored."""

    arch: Architecture
    recipe: Recipe
    store: TokenStore
    batches: Batches
    seed: int
    flops_per_token: float
    folder: Path
    validate_at: tuple[float, ...] = (0.25, 0.5, 0.75)
    checkpoint_seconds: float = 30.0

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.batches.steps

    @property
    def checkpoint(self) -> Path:
        """Where the run's checkpoint lies while it is unfinished."""
        return self.folder / "checkpoint.ckpt"


@dataclass(frozen=True)
class Outcome:
    """`result`: None if the run was stopped early. `busy_seconds`: spent in training steps and validations by this call."""

    result: dict[str, Any] | None
    busy_seconds: float


def train(job: Job, hooks: Hooks) -> Outcome:
    """Trains `job`. If `hooks.stop` ends it early there is no result, but a checkpoint that the next call goes on from.

    A run that diverges (a loss that is not finite, or a final one above its start) is a result: `diverged` is true.
    """
    precision = resolve_precision(job.recipe.precision)
    torch.manual_seed(seed_of(job.seed, "torch"))
    model = build_model(job.arch, job.seed)
    sequences = Sequences(job.store.tokens("train"), job.arch.dims.context, job.seed)
    module = TrainedDecoder(model, job.recipe, sequences, job.batches)
    recorder = _recorder(job, hooks, module, precision)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    _fit(job, module, recorder, precision)
    if recorder.interrupted:
        return Outcome(None, recorder.busy_seconds())
    result = _result(job, module, recorder, precision)
    write_atomically(job.folder / "model.safetensors", lambda file: file.write(_weights(model)))
    return Outcome(result, recorder.busy_seconds())


def _recorder(job: Job, hooks: Hooks, module: TrainedDecoder, precision: str) -> Recorder:
    at = frozenset(min(job.steps - 1, max(1, job.batches.step_at(share))) for share in job.validate_at if job.steps > 1)
    cadence = Cadence(job.batches, job.arch.dims.context, at, job.checkpoint, job.checkpoint_seconds)

    def validate() -> Mapping[str, float]:
        result = score(module.model, job.store, "val", precision)
        return {"val/loss": result.loss, "val/bpb": result.bpb}

    return Recorder(hooks, cadence, validate)


def _fit(job: Job, module: TrainedDecoder, recorder: Recorder, precision: str) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Advice about loader workers and unused devices; batches here are slices of a memory map.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = L.Trainer(
            accelerator="cuda" if torch.cuda.is_available() else "cpu",
            devices=1,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            max_steps=job.steps,
            max_epochs=-1,
            gradient_clip_val=job.recipe.clip or None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[recorder],
            plugins=[AtomicCheckpointIO()],
            default_root_dir=job.folder,
        )
        resume = str(job.checkpoint) if job.checkpoint.exists() else None
        trainer.fit(module, ckpt_path=resume, weights_only=True)


def _result(job: Job, module: TrainedDecoder, recorder: Recorder, precision: str) -> dict[str, Any]:
    """The run's figures, by their metric names."""
    tally, steps = recorder.tally, module.global_step
    with recorder.validating():
        val, test = (score(module.model, job.store, split, precision) for split in ("val", "test"))
    diverged = recorder.diverged or not math.isfinite(val.loss) or tally.last_loss > tally.first_loss
    tokens = recorder.cadence.tokens(steps)
    return {
        "diverged": diverged,
        "steps": steps,
        "precision": precision,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "lightning": L.__version__},
        "metrics": {
            "train/loss": tally.last_loss,
            "val/loss": val.loss,
            "val/bpb": val.bpb,
            "test/loss": test.loss,
            "test/bpb": test.bpb,
        },
        "cost": {
            "tokens": tokens,
            "flops": tokens * job.flops_per_token,
            "seconds": tally.seconds,
            "validation_seconds": tally.validation_seconds,
            "tokens_per_second": tokens / tally.seconds if tally.seconds else 0.0,
            "peak_memory_bytes": tally.peak_memory,
            "parameters": sum(p.numel() for p in module.model.parameters()),
        },
    }


def _weights(model: Decoder) -> bytes:
    return save({name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()})
