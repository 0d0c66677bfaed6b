"""Adafactor, as PaLM used it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.optim import Adafactor as TorchAdafactor
from torch.optim import Optimizer

from ablab.plugin import Edit, OptimizerSlot, plugin

_MIN_SCALE = 1e-3  # ε2 of Shazeer & Stern: lower bound of the scale of a weight near zero
_MIN_SQUARE = 1e-30  # ε1: added to the squared gradient


class ParameterScaledAdam(Optimizer):
    """Adafactor without factoring: Adam whose step is scaled by each weight's own root mean square.

    At step k: v = β2 v + (1 − β2)(g² + ε1) with β2 = 1 − k^−`decay`; u = g / √v, divided by max(1,
    RMS(u) / `clip`); m = β1 m + (1 − β1) u; w −= lr · max(ε2, RMS(w)) · m. No bias correction: v
    needs none, as β2 starts at 0.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, beta1: float, decay: float, clip: float
    ) -> None:
        super().__init__(
            groups, {"lr": lr, "weight_decay": 0.0, "beta1": beta1, "decay": decay, "clip": clip}
        )

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, closure: Callable[[], Any] | None = None
    ) -> Any:
        """Perform one step, and return the result of `closure`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, weight.grad, group)
        return loss

    def _step(self, weight: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        state["square"].lerp_(grad.square() + _MIN_SQUARE, state["step"] ** -group["decay"])
        update = grad * state["square"].rsqrt()
        update /= (_rms(update) / group["clip"]).clamp(min=1.0)
        state["mean"].lerp_(update, 1 - group["beta1"])
        scale = _rms(weight).clamp(min=_MIN_SCALE)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(group["lr"] * scale * state["mean"])


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


@dataclass(frozen=True)
class ScaledAdam(OptimizerSlot):
    """Adafactor without factoring."""

    beta1: float
    decay: float
    clip: float

    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Return the optimizer."""
        return ParameterScaledAdam(groups, lr, self.beta1, self.decay, self.clip)


@dataclass(frozen=True)
class FactoredAdam(OptimizerSlot):
    """Adafactor with factoring: a row and a column of second moments for each matrix, and no first
    moment.
    """

    decay: float
    clip: float

    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Return torch's Adafactor, which also limits the learning rate to 1/√step."""
        return TorchAdafactor(groups, lr=lr, beta2_decay=-self.decay, d=self.clip)


@plugin(
    source="Shazeer & Stern 2018, arXiv:1804.04235, algorithms 4 and 5; without factoring as PaLM "
    "(Chowdhery et al. 2022, "
    "arXiv:2204.02311, section 5)"
)
class Adafactor:
    """Adafactor, by default without factoring as in PaLM: Adam with the step of each weight scaled
    by its root mean square.

    `beta1` is 0.9 by default; the factored form has no first moment and does not accept it.
    """

    factored: bool = False
    beta1: Annotated[float, Field(ge=0, lt=1)] | None = None
    decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    clip: Annotated[float, Field(ge=1)] = 1.0

    @model_validator(mode="after")
    def _no_first_moment(self) -> Self:
        if self.factored and self.beta1 is not None:
            raise ValueError(
                "the factored form keeps no first moment: leave beta1 out, or factored"
            )
        return self

    def edit(self) -> Edit:
        """Return an edit that sets the optimizer."""
        if self.factored:
            return {"recipe.optimizer": FactoredAdam(self.decay, self.clip)}
        return {
            "recipe.optimizer": ScaledAdam(
                0.9 if self.beta1 is None else self.beta1, self.decay, self.clip
            )
        }
