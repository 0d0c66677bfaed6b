"""The LightningModule that trains a decoder by a recipe."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ablab.arch.decoder.decoder import Decoder
from ablab.arch.recipe import Recipe
from ablab.arch.roles import weights
from ablab.data.batches import Sequences, StepSampler
from ablab.errors import UserError
from ablab.train.budget import Progress
from ablab.train.machine import processor
from ablab.train.parallel import MemoryShort, ParallelContext
from ablab.train.random_states import random_states, restore_random_states
from ablab.train.sharded import Parts


class TrainedDecoder(L.LightningModule):
    """Trains `model` by `recipe` on this process's share of each batch of `sequences`, along
    `progress`. `parts` describes the shards of a sharded model.

    A share that does not fit into memory is processed in micro-batches. The loss is the mean over
    the global batch regardless of shares and micro-batches.
    """

    def __init__(
        self, model: Decoder, recipe: Recipe, progress: Progress, sequences: Sequences
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.recipe = recipe
        self.sequences = sequences
        self.progress = progress
        self.parallel = ParallelContext()
        self.parts = None
        self.compiled = False
        self.processors = (processor(),)
        self._rehearsing = False
        self.micro_batch: int | None = None
        self._generators: dict[str, Any] = {}
        self.terms = [term for _, term in recipe.loss.entries]
        model.checkpointing = recipe.checkpointing

    def join(self, parallel: ParallelContext, parts: Parts | None) -> None:
        """Register this process as a member of `parallel`."""
        self.parallel = parallel
        self.parts = parts

    def configure_model(self) -> None:
        """Do nothing. Lightning requires this hook for sharded models; the model is already
        sharded.
        """

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Train on this process's share of a batch, `(sequences, context + 1)`. Return the mean
        loss over the global batch, a scalar.
        """
        optimizer = self._optimizer()
        while True:
            optimizer.zero_grad()
            try:
                loss = self._forward_and_backward(batch)
                break
            except torch.OutOfMemoryError:
                self._halve(len(batch))
        if self._rehearsing:
            optimizer.zero_grad()
            return loss
        self.clip(optimizer.optimizer)
        optimizer.step()
        return self.parallel.sum(loss)

    def rehearse(self) -> None:
        """Run the next step without updating the weights, so that lazy initialisation and
        compilation happen before the clock starts.
        """
        numbers = next(iter(StepSampler(self.progress, self.global_step, self.parallel.share)))
        strategy = self.trainer.strategy
        batch = strategy.batch_to_device(self.sequences.__getitems__(numbers), self.device)
        self._rehearsing = True
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            loss = strategy.training_step(batch, 0)
        self._rehearsing = False
        assert isinstance(loss, Tensor)
        loss.item()  # when it is done

    def _forward_and_backward(self, batch: Tensor) -> Tensor:
        """Accumulate gradients over micro-batches. Return this process's contribution to the
        loss.
        """
        step = self.global_step
        size = self.progress.seen(step + 1) - self.progress.seen(step)
        local = self.parallel.share(size)
        parts = list(
            self._micro_batches(
                batch[: local.stop - local.start], self.parallel.largest_share(size)
            )
        )
        total = torch.zeros((), device=batch.device)
        for i, part in enumerate(parts):
            with nullcontext() if i == len(parts) - 1 else self._unsynchronised():
                # An empty part is replaced by one sequence of weight zero: every process has to
                # take part in the collective operations.
                tokens = part if len(part) else batch[:1]  # (sequences, context + 1)
                loss = self.model.loss(tokens[:, :-1], tokens[:, 1:], self.terms).total
                share = len(part) / size
                # The gradients are averaged over the data ranks, not summed.
                self.manual_backward(loss * (share * self.parallel.layout.data))
            total = total + loss.detach() * share
        return total

    def micro_batch_losses(self) -> Iterator[Tensor]:
        """Yield losses of micro-batches, as needed to measure the peak memory of the largest step.

        That is one, or two if gradients of the first exist while the second is computed. No step is
        taken.
        """
        largest = self.parallel.largest_share(self.progress.largest)
        parts = -(-largest // (self.micro_batch or largest))
        batch = self.sequences.__getitems__(range(-(-largest // parts))).to(self.device)
        for _ in range(min(2, parts)):
            yield self.model.loss(batch[:, :-1], batch[:, 1:], self.terms).total

    def _micro_batches(self, batch: Tensor, largest: int) -> Iterator[Tensor]:
        """Split this process's share into as many micro-batches as the process with the `largest`
        share needs.
        """
        yield from batch.tensor_split(-(-largest // (self.micro_batch or largest)))

    def _unsynchronised(self) -> AbstractContextManager[Any]:
        model = self.trainer.strategy.model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def _halve(self, size: int) -> None:
        """Halve the size of micro-batches from here on.

        Raises MemoryShort if all processes have to do so, and UserError if a single sequence does
        not fit.
        """
        before = min(self.micro_batch or size, size)
        if before == 1:
            raise UserError(
                "one sequence does not fit into memory: take a shorter context, a smaller "
                "model, or checkpointing"
            )
        self.micro_batch = -(-before // 2)
        if self.parallel.mesh is not None:
            raise MemoryShort(self.micro_batch)
        torch.cuda.empty_cache()

    def clip(self, optimizer: Optimizer) -> None:
        """Clip the norm of the gradients as the recipe says."""
        if not self.recipe.clip:
            return
        if self.parts is None:
            # Not Lightning's: it refuses fused optimizers under mixed precision, for the sake of a
            # scaler that bf16 has not.
            clip_grad_norm_(
                [weight for group in optimizer.param_groups for weight in group["params"]],
                self.recipe.clip,
            )
        else:
            self.parts.clip(self.model.named_parameters(), self.recipe.clip)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of the coming step, a function of the share of the budget spent
        when the step ends.
        """
        self._put_generators_back()
        lr = self.recipe.lr_at(self.progress.share(self.global_step + 1))
        for group in self._optimizer().param_groups:
            group["lr"] = lr

    def configure_optimizers(self) -> Optimizer:
        """Return the recipe's optimizer. Weight decay applies to matrices and embeddings only."""
        decayed_first = sorted(weights(self.model), key=lambda weight: not weight.decays)
        groups = [
            {
                "params": [weight.parameter for weight in alike],
                "weight_decay": self.recipe.weight_decay if decays else 0.0,
                "matrix": matrix,
            }
            for (decays, matrix), alike in groupby(
                decayed_first, lambda weight: (weight.decays, weight.hidden_matrix)
            )
        ]
        return self.recipe.optimizer.build(groups, self.recipe.lr)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return batches starting at the current step. Lightning itself would start from the
        first.
        """
        sampler = StepSampler(self.progress, self.global_step, self.parallel.share)
        collate: Any = _as_is
        return DataLoader(self.sequences, batch_sampler=sampler, collate_fn=collate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the random states of all processes by rank, which Lightning does not, and the
        processors that the run was trained on.
        """
        checkpoint["processors"] = list(self.processors)
        checkpoint["rng"] = self.parallel.all_gather(random_states(self.device))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random states of the checkpoint.

        Raises UserError if the number of processes has changed and the model has dropout, whose
        masks would differ.
        """
        self.processors = tuple(dict.fromkeys([*checkpoint.get("processors", ()), processor()]))
        states = checkpoint["rng"]
        if len(states) != self.parallel.layout.processes:
            if self.model.arch.dropout:
                raise UserError(
                    f"the run was begun on {len(states)} processes, and its dropout masks "
                    "depend on them: go on with as many"
                )
            return
        self._generators = states[self.parallel.rank]

    def _put_generators_back(self) -> None:
        """Restore the random states just before the first step, because Lightning draws random
        numbers after loading.
        """
        restore_random_states(self._generators, self.device)
        self._generators = {}

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, once the trainer has created it."""
        return self._optimizer().optimizer

    def _optimizer(self) -> LightningOptimizer:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer


def _as_is(batch: Tensor) -> Tensor:
    return batch
