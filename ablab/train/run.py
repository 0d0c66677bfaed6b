"""Train one run, from the start or from its checkpoint, and return its result."""

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy
from safetensors.torch import save
from torch import Tensor

from ablab.arch.decoder.build import build_model, seed_of
from ablab.data.batches import Sequences
from ablab.errors import UserError
from ablab.files import write_atomically
from ablab.train.checkpoints import newest_checkpoint
from ablab.train.costs.decoding import decoding, decoding_on_parts
from ablab.train.costs.memory import training_peak
from ablab.train.divergence import ended_above_start
from ablab.train.file_names import WEIGHTS
from ablab.train.job import Job, Outcome
from ablab.train.lightning_plugins import (
    KeepSigtermHandler,
    ProcessGroupEnvironment,
    SealedCheckpointIO,
)
from ablab.train.module import TrainedDecoder
from ablab.train.numerics import resolve_precision
from ablab.train.parallel import ParallelContext
from ablab.train.recorder import SILENT, Cadence, Hooks, Recorder
from ablab.train.result import RunCost, RunResult
from ablab.train.scoring import Score, score
from ablab.train.sharded import Parts, ShardedStrategy


def train(job: Job, hooks: Hooks, parallel: ParallelContext | None = None) -> Outcome:
    """Train `job` as one of the processes of `parallel`. Only the main process uses `hooks`.

    If `hooks.stop` ends the run early, there is no result but a checkpoint, from which the next
    call resumes on any layout. A run that diverges (a loss is not finite, or the run ended above
    its start, see `ended_above_start`) has a result with `diverged` set. Raises UserError if
    the model or its optimizer does not support the layout.
    """
    run = _Run.set_up(job, hooks, parallel or ParallelContext())
    run.fit()
    if run.recorder.interrupted:
        return Outcome(None, run.recorder.busy_seconds())
    result = run.result()
    weights = run.weights()
    if run.parallel.main:
        write_atomically(job.folder / WEIGHTS, lambda file: file.write(save(weights)))
    return Outcome(result, run.recorder.busy_seconds())


@dataclass(frozen=True)
class _Run:
    """A run in progress, in one of its processes."""

    job: Job
    parallel: ParallelContext
    precision: str
    parameters: int
    module: TrainedDecoder
    recorder: Recorder

    @classmethod
    def set_up(cls, job: Job, hooks: Hooks, parallel: ParallelContext) -> "_Run":
        precision = resolve_precision(job.recipe.precision)
        torch.manual_seed(
            seed_of(job.seed, "torch", *[parallel.data_rank] * (parallel.data_rank > 0))
        )
        model = build_model(job.arch, job.seed)
        model = model.double() if precision == "fp64" else model
        parameters = sum(p.numel() for p in model.parameters())
        parts = None
        if parallel.layout.sharded:
            if not job.recipe.optimizer.elementwise:
                raise UserError(
                    f"{type(job.recipe.optimizer).__name__} needs whole weights: take ddp, "
                    "or another optimizer"
                )
            parts = Parts.of(model.to(_device(parallel)), parallel)
        sequences = Sequences(job.store.sampled_tokens("train"), job.arch.dims.context, job.seed)
        module = TrainedDecoder(model, job.recipe, job.progress(), sequences)
        module.join(parallel, parts)
        module.micro_batch = job.micro_batch
        if job.compile:
            for block in model.blocks:
                block.compile()
            module.compiled = True
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return cls(
            job,
            parallel,
            precision,
            parameters,
            module,
            _recorder(job, hooks if parallel.main else SILENT, module, precision),
        )

    def fit(self) -> None:
        """Run the training steps."""
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Advice about loader workers and unused devices; batches here are slices of a memory
            # map.
            warnings.filterwarnings("ignore", module="lightning")
            trainer = L.Trainer(
                accelerator="cuda" if torch.cuda.is_available() else "cpu",
                devices=self.parallel.layout.local,
                num_nodes=self.parallel.layout.nodes,
                strategy=self._strategy(),
                precision="bf16-mixed" if self.precision == "bf16" else "32-true",
                max_steps=-1 if self.job.steps is None else self.job.steps,
                max_epochs=-1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                callbacks=[self.recorder, KeepSigtermHandler()],
                plugins=[
                    SealedCheckpointIO(),
                    *(
                        []
                        if self.parallel.mesh is None
                        else [ProcessGroupEnvironment(self.parallel)]
                    ),
                ],
                default_root_dir=self.job.folder,
            )
            trainer.fit(self.module, ckpt_path=self._resume_from(), weights_only=True)
        # Lightning moves an unsharded model back to the CPU, where scoring is slow and NCCL
        # cannot reduce.
        if self.module.parts is None:
            self.module.to(_device(self.parallel))

    def _resume_from(self) -> Path | None:
        """Return the checkpoint to resume from, which the main process chooses."""
        checkpoint = None
        if self.parallel.main:
            hooks = self.recorder.hooks
            checkpoint = newest_checkpoint(self.job.folder, hooks.has_rows, hooks.note)
        return self.parallel.all_gather(checkpoint)[0]

    def _strategy(self) -> Any:
        if self.module.parts is not None:
            return ShardedStrategy(self.module.parts, self.module.model)
        return "auto" if self.parallel.mesh is None else DDPStrategy(broadcast_buffers=False)

    def result(self) -> RunResult:
        """Return the result of the run."""
        recorder = self.recorder
        steps = self.module.global_step
        totals = recorder.totals
        with recorder.validating():
            scores = {split: self._score(split) for split in self.job.scored_splits}
        with recorder.measuring():
            costs = self._measure_costs()
        val = scores["val"]
        if self.parallel.main and val.windows is not None:
            val.windows.write(self.job.window_scores)
        tokens = recorder.cadence.tokens(steps)
        return RunResult(
            diverged=recorder.diverged
            or not math.isfinite(val.loss)
            or ended_above_start(totals.first_losses, totals.latest_losses),
            steps=steps,
            precision=self.precision,
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            layout=str(self.parallel.layout),
            processors=self.module.processors,
            threads=torch.get_num_threads(),
            versions={"torch": str(torch.__version__), "lightning": L.__version__},
            metrics={
                "train/loss": totals.last_loss,
                **{f"{split}/loss": value.loss for split, value in scores.items()},
                **{f"{split}/bpb": value.bpb for split, value in scores.items()},
            },
            cost=RunCost(
                tokens=tokens,
                flops=tokens * self.job.flops_per_token,
                seconds=totals.seconds,
                validation_seconds=totals.validation_seconds,
                measuring_seconds=totals.measuring_seconds,
                tokens_per_second=tokens / totals.seconds if totals.seconds else 0.0,
                parameters=self.parameters,
                **costs,
            ),
        )

    def _score(self, split: str) -> Score:
        return score(self.module.model, self.job.store, split, self.precision, self.parallel)

    def _measure_costs(self) -> dict[str, float | None]:
        """Measure memory and decoding."""
        module = self.module
        peak = self.recorder.totals.peak_memory
        if not torch.cuda.is_available():
            with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
                peak = training_peak(module.model, module.optimizer, module.micro_batch_losses)
        if module.parts is not None:
            decoded = decoding_on_parts(module.model, self.precision)
        else:
            tokens = module.sequences[0][: self.job.arch.dims.context].to(_device(self.parallel))
            decoded = decoding(module.model, tokens, self.precision) if self.parallel.main else {}
        return {"peak_memory_bytes": max(self.parallel.all_gather(peak)), **decoded}

    def weights(self) -> dict[str, Tensor]:
        """Return the complete weights by name. Every process must call this; the main one writes
        the result.
        """
        parts = self.module.parts
        return {
            name: parts.gather(name, weight).contiguous()
            if parts
            else weight.detach().cpu().contiguous()
            for name, weight in self.module.model.named_parameters()
        }


def _device(parallel: ParallelContext) -> torch.device:
    return (
        torch.device("cuda", parallel.rank % parallel.layout.local)
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def _recorder(job: Job, hooks: Hooks, module: TrainedDecoder, precision: str) -> Recorder:
    cadence = Cadence(
        module.progress, job.arch.dims.context, job.checkpoint, job.checkpoint_seconds
    )

    def validate() -> Mapping[str, float]:
        result = score(module.model, job.store, "val", precision, module.parallel)
        return {"val/loss": result.loss, "val/bpb": result.bpb}

    return Recorder(hooks, cadence, validate, module.parallel)
