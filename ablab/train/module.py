"""The LightningModule: a decoder, its recipe, and nothing of studies."""

from itertools import groupby
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ablab.arch.decoder import Decoder
from ablab.arch.recipe import Recipe
from ablab.arch.roles import weights
from ablab.data.batches import Batches, Sequences, StepSampler


class TrainedDecoder(L.LightningModule):
    """Trains `model` by `recipe` on `sequences`, in `batches`."""

    def __init__(self, model: Decoder, recipe: Recipe, sequences: Sequences, batches: Batches) -> None:
        super().__init__()
        self.model, self.recipe, self.sequences, self.batches = model, recipe, sequences, batches
        self.terms = [term for _, term in recipe.loss.entries]
        model.checkpointing = recipe.checkpointing

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Batch (sequences, context + 1) -> the mean loss, a scalar."""
        return self.model.loss(batch[:, :-1], batch[:, 1:], self.terms).total

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Sets the learning rate of the step about to be taken: a function of the share spent when it ends."""
        lr = self.recipe.lr_at(self.batches.share(self.global_step + 1))
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
            for (decays, matrix), alike in groupby(decayed_first, lambda weight: (weight.decays, weight.hidden_matrix))
        ]
        return self.recipe.optimizer.build(groups, self.recipe.lr)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches from the step reached on: Lightning itself would start over."""
        sampler = StepSampler(self.batches, self.global_step)
        return DataLoader(self.sequences, batch_sampler=sampler, collate_fn=_as_is)  # pyright: ignore[reportArgumentType]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning does not keep the state of the random generators."""
        checkpoint["rng"] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            checkpoint["rng"]["cuda"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the generators back where they were."""
        torch.set_rng_state(checkpoint["rng"]["cpu"])
        if self.device.type == "cuda" and "cuda" in checkpoint["rng"]:
            torch.cuda.set_rng_state(checkpoint["rng"]["cuda"], self.device)

    def _optimizer(self) -> Optimizer:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        return optimizer  # pyright: ignore[reportReturnType]


def _as_is(batch: Tensor) -> Tensor:
    return batch
