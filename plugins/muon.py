"""Muon for hidden matrices, AdamW for the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch.optim import AdamW as TorchAdamW
from torch.optim import Muon as TorchMuon
from torch.optim import Optimizer

from ablab.plugin import Edit, OptimizerSlot, plugin


class Together(Optimizer):
    """Several optimizers as one, with their parameter groups in order and a common state."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, closure: Callable[[], Any] | None = None
    ) -> Any:
        """Perform one step of each, and return the result of `closure`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Loading a state replaces the groups and the state, which the parts must then refer to.
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state


@dataclass(frozen=True)
class MuonAdamW(OptimizerSlot):
    """Muon on hidden matrices, AdamW on tables, the output projection and vectors."""

    momentum: float
    steps: int
    beta1: float
    beta2: float

    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Return the Muon and the AdamW of torch as one optimizer."""
        hidden = [group for group in groups if group["matrix"]]
        rest = [group for group in groups if not group["matrix"]]
        parts: list[Optimizer] = []
        if hidden:
            # Updates as large as AdamW's, so that one learning rate and one decay serve both
            # (arXiv:2502.16982, 2.2).
            parts.append(
                TorchMuon(
                    hidden,
                    lr=lr,
                    momentum=self.momentum,
                    ns_steps=self.steps,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if rest:
            parts.append(TorchAdamW(rest, lr=lr, betas=(self.beta1, self.beta2), fused=True))
        return Together(*parts)


@plugin(
    source=(
        "Jordan et al. 2024, kellerjordan.github.io/posts/muon; scaled as in Liu et al. 2025, "
        "arXiv:2502.16982"
    )
)
class Muon:
    """Muon: hidden matrices are updated by their orthogonalised momentum, all other weights by
    AdamW, at one learning rate.

    `steps` is the number of Newton-Schulz iterations; `beta1` and `beta2` are those of AdamW. A
    fused projection is orthogonalised as one matrix.
    """

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    steps: Annotated[int, Field(ge=1, lt=100)] = 5
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95

    def edit(self) -> Edit:
        """Return an edit that sets the optimizer."""
        return {"recipe.optimizer": MuonAdamW(self.momentum, self.steps, self.beta1, self.beta2)}
