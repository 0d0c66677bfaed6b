"""Adam (GPT-1's and GPT-3's, there with decoupled decay)."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch.optim import Adam as TorchAdam
from torch.optim import Optimizer

from ablab.plugin import Edit, OptimizerSlot, plugin


@dataclass(frozen=True)
class L2Adam(OptimizerSlot):
    """Adam; weight decay is added to the gradient, so that it too is divided by the gradient's
    size.
    """

    beta1: float
    beta2: float
    eps: float
    elementwise: ClassVar[bool] = True

    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Torch's Adam, its fused form."""
        return TorchAdam(groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)


@plugin(source="Kingma & Ba 2015, arXiv:1412.6980, algorithm 1")
class Adam:
    """Adam in place of AdamW: weight decay as an L2 term in the gradient."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: Annotated[float, Field(gt=0)] = 1e-8

    def edit(self) -> Edit:
        """Writes the optimizer."""
        return {"recipe.optimizer": L2Adam(self.beta1, self.beta2, self.eps)}
