"""A feed-forward of experts, one per token, with a loss that balances them."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ablab.plugin import (
    Branch,
    BuildContext,
    ContextModule,
    Edit,
    ForwardContext,
    Linear,
    Parallel,
    PlainMlp,
    plugin,
)


class _Experts(ContextModule):
    def __init__(self, site: BuildContext, count: int, balance: float) -> None:
        super().__init__()
        self.count = count
        self.balance = balance
        self.router = Linear((site.dims.width, count), Parallel.REPLICATED, bias=False)
        self.experts = nn.ModuleList(PlainMlp(factor=4 / count).build(site) for _ in range(count))

    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """Map x `(batch, time, width)` to the same shape. Every expert is computed, so its cost is
        counted, but only one is used.
        """
        chances = self.router(x).softmax(-1)
        chosen = F.one_hot(chances.argmax(-1), self.count).to(chances.dtype)
        if flow is not None:
            # For each sequence separately (DeepSeek-AI 2024, arXiv:2412.19437), so that the loss
            # does not depend on how a batch is divided.
            loads = chosen.mean(-2) * chances.mean(-2)
            flow.add_loss("balance", self.balance * self.count * loads.sum(-1).mean())
        weights = (chances * chosen).unsqueeze(-2).unbind(-1)  # each (batch, time, 1)
        return sum(
            (expert(x) * weight for expert, weight in zip(self.experts, weights, strict=True)),
            0 * x,
        )


@dataclass(frozen=True)
class ExpertsMlp(Branch):
    """`count` experts with 4 × width hidden units in total."""

    count: int
    balance: float

    def build(self, site: BuildContext) -> nn.Module:
        """Return the router and the experts."""
        return _Experts(site, self.count, self.balance)


@plugin(source="Fedus et al. 2021 (Switch Transformer), arXiv:2101.03961, section 2")
class Experts:
    """Experts: a router sends each token to one of them; an auxiliary loss balances their loads."""

    count: Annotated[int, Field(ge=2)] = 4
    balance: Annotated[float, Field(ge=0)] = 0.01

    def edit(self) -> Edit:
        """Replace the feed-forward."""
        return {"mlp": ExpertsMlp(self.count, self.balance)}
