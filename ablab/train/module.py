"""The LightningModule: a decoder, its recipe, and nothing of studies."""

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
from ablab.train.parallel import MemoryShort, ParallelContext
from ablab.train.progress import Progress
from ablab.train.sharded import Parts


class TrainedDecoder(L.LightningModule):
    """Trains `model` by `recipe` on `sequences` along `course`: this process's share of each batch.
    `parts`: of a sharded model.

    A share that does not fit into memory at once is taken in micro-batches; the loss is the mean
    over the global batch all the same, whatever the shares and the micro-batches.
    """

    def __init__(
        self, model: Decoder, recipe: Recipe, course: Progress, sequences: Sequences
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.recipe, self.sequences, self.course = model, recipe, sequences, course
        self.team, self.parts = ParallelContext(), None
        self._rehearsing = self.compiled = False
        self.micro_batch: int | None = None
        self._generators: dict[str, Tensor] = {}
        self.terms = [term for _, term in recipe.loss.entries]
        model.checkpointing = recipe.checkpointing

    def join(self, team: ParallelContext, parts: Parts | None) -> None:
        """Makes this process one of `team`."""
        self.team, self.parts = team, parts

    def configure_model(self) -> None:
        """Lightning asks for it where a model is sharded; it is when it comes here."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Batch: this process's share (sequences, context + 1) -> the mean loss over the global
        batch, a scalar.
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
        self._clip(optimizer.optimizer)
        optimizer.step()
        return self.team.sum(loss)

    def rehearse(self) -> None:
        """Goes through the step to come without taking it, so that what is set up or compiled at
        its first use is so before the clock starts.
        """
        numbers = next(iter(StepSampler(self.course, self.global_step, self.team.share)))
        strategy = self.trainer.strategy
        batch = strategy.batch_to_device(self.sequences.__getitems__(numbers), self.device)
        self._rehearsing = True
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            loss = strategy.training_step(batch, 0)
        self._rehearsing = False
        assert isinstance(loss, Tensor)
        loss.item()  # when it is done

    def _forward_and_backward(self, batch: Tensor) -> Tensor:
        """The process's part of the loss, in micro-batches, their gradients added up."""
        step = self.global_step
        size = self.course.seen(step + 1) - self.course.seen(step)
        own = self.team.share(size)
        parts = list(
            self._micro_batches(batch[: own.stop - own.start], self.team.largest_share(size))
        )
        total = torch.zeros((), device=batch.device)
        for i, part in enumerate(parts):
            with nullcontext() if i == len(parts) - 1 else self._unsynchronised():
                # Where there is nothing left to do, every process still takes part in what they do
                # together.
                loss = self.model.loss(
                    (inputs := part if len(part) else batch[:1])[:, :-1], inputs[:, 1:], self.terms
                ).total
                share = len(part) / size
                weighted = loss * (
                    share * self.team.layout.data
                )  # the gradients are averaged over the data ranks
                self.manual_backward(weighted)
            total = total + loss.detach() * share
        return total

    def micro_batch_losses(self) -> Iterator[Tensor]:
        """The losses of a step's micro-batches, as many as show what the largest step of this
        process needs: one, or two, where the gradients of the first are there while the second is
        computed. No step is taken.
        """
        largest = self.team.largest_share(self.course.largest)
        parts = -(-largest // (self.micro_batch or largest))
        batch = self.sequences.__getitems__(range(-(-largest // parts))).to(self.device)
        for _ in range(min(2, parts)):
            yield self.model.loss(batch[:, :-1], batch[:, 1:], self.terms).total

    def _micro_batches(self, own: Tensor, largest: int) -> Iterator[Tensor]:
        """The share `own` in as many micro-batches as any process needs, the largest share being
        `largest`.
        """
        yield from own.tensor_split(-(-largest // (self.micro_batch or largest)))

    def _unsynchronised(self) -> AbstractContextManager[Any]:
        model = self.trainer.strategy.model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def _halve(self, size: int) -> None:
        """Takes smaller micro-batches from here on. Raises MemoryShort where all processes must,
        UserError where one is left.
        """
        before = min(self.micro_batch or size, size)
        if before == 1:
            raise UserError(
                "one sequence does not fit into memory: take a shorter context, a smaller "
                "model, or checkpointing"
            )
        self.micro_batch = -(-before // 2)
        if self.team.mesh is not None:
            raise MemoryShort(self.micro_batch)
        torch.cuda.empty_cache()

    def _clip(self, optimizer: Optimizer) -> None:
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
        """Sets the learning rate of the step about to be taken: a function of the share spent when
        it ends.
        """
        self._put_generators_back()
        lr = self.recipe.lr_at(self.course.share(self.global_step + 1))
        for group in self._optimizer().param_groups:
            group["lr"] = lr

    def configure_optimizers(self) -> Optimizer:
        """The recipe's optimizer; weight decay on matrices and embeddings only."""
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
        """Batches from the step reached on: Lightning itself would start over."""
        sampler = StepSampler(self.course, self.global_step, self.team.share)
        return DataLoader(self.sequences, batch_sampler=sampler, collate_fn=_as_is)  # pyright: ignore[reportArgumentType]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning does not keep the state of the random generators: every process's, by rank."""
        own = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint["rng"] = self.team.everyones(own)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps where the generators were. Raises UserError where another layout would draw other
        dropout masks.
        """
        states = checkpoint["rng"]
        if len(states) != self.team.layout.processes:
            if self.model.arch.dropout:
                raise UserError(
                    f"the run was begun on {len(states)} processes, and its dropout masks "
                    "depend on them: go on with as many"
                )
            return
        self._generators = states[self.team.rank]

    def _put_generators_back(self) -> None:
        """Before the first step, not when they are loaded: what Lightning sets up in between draws
        numbers too.
        """
        if "cpu" in self._generators:
            torch.set_rng_state(self._generators["cpu"])
        if self.device.type == "cuda" and "cuda" in self._generators:
            torch.cuda.set_rng_state(self._generators["cuda"], self.device)
        self._generators = {}

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, once the trainer has built it."""
        return self._optimizer().optimizer

    def _optimizer(self) -> LightningOptimizer:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer


def _as_is(batch: Tensor) -> Tensor:
    return batch
