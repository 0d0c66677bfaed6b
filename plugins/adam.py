"""Adam, which GPT-1 and GPT-3 used with decoupled weight decay."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch.optim import Adam as TorchAdam
from torch.optim import Optimizer

from ablab.plugin import Edit, OptimizerSlot, plugin


@dataclass(frozen=True)
class L2Adam(OptimizerSlot):
    """Adam with weight decay added to the gradient, so that the decay is normalised as well."""

    beta1: float
    beta2: float
    eps: float
    elementwise: ClassVar[bool] = True

    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Return the fused Adam of torch."""
        return TorchAdam(groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)


@plugin(source="Kingma & Ba 2015, arXiv:1412.6980, algorithm 1")
class Adam:
    """Adam in place of AdamW: weight decay as an L2 term in the gradient."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: Annotated[float, Field(gt=0)] = 1e-8

    def edit(self) -> Edit:
        """Return an edit that sets the optimizer."""
        return {"recipe.optimizer": L2Adam(self.beta1, self.beta2, self.eps)}
