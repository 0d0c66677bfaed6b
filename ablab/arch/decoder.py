"""The decoder, built from an architecture value. Slots are resolved here; the forward pass is plain torch."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ablab.arch.layers import Table
from ablab.arch.loss import HeadLoss, LossTerms, head_loss
from ablab.arch.roles import Parallel
from ablab.arch.value import Architecture, Site


class Block(nn.Module):
    """Groups of branches on the residual stream, wired as data: groups in sequence, the branches of a group in parallel."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        arch = site.arch
        self.wiring = arch.wiring
        for name in (branch for group in arch.wiring for branch in group):
            self.add_module(name, getattr(arch, name).build(site))
        # A group's join is named after its first branch, so that names don't change with the wiring.
        self.join = nn.ModuleDict({group[0]: arch.join.build(site) for group in arch.wiring})

    def forward(self, x: Tensor) -> Tensor:
        """X (batch, time, width) -> the same."""
        for group in self.wiring:
            x = self.join[group[0]](x, self._sum(group))
        return x

    def _sum(self, group: Sequence[str]) -> Callable[[Tensor], Tensor]:
        first, *rest = [getattr(self, name) for name in group]

        def branches(x: Tensor) -> Tensor:
            total = first(x)
            for branch in rest:
                total = total + branch(x)
            return total

        return branches


class Decoder(nn.Module):
    """A decoder-only transformer: token ids (batch, time) -> logits (batch, time, vocab).

    `checkpointing`: whether the backward pass computes each block's activations again instead of keeping them.
    """

    checkpointing: bool = False

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        site = arch.site()
        self.embedding = Table(arch.dims.vocab, arch.dims.width, Parallel.VOCAB)
        self.position = arch.position.build(site)
        self.blocks = nn.ModuleList(Block(arch.site(layer)) for layer in range(arch.dims.layers))
        self.final = arch.final.build(site)
        self.head = arch.head.build(site)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, time) -> what the head reads, (batch, time, width)."""
        if tokens.shape[1] > self.arch.dims.context:
            raise ValueError(f"{tokens.shape[1]} tokens do not fit the context of {self.arch.dims.context}")
        x = self.position(self.embedding(tokens))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointing and torch.is_grad_enabled() else block(x)
        return self.final(x)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, time) -> logits (batch, time, vocab)."""
        return F.linear(self.hidden(tokens), self.head(self.embedding.weight))

    def loss(self, tokens: Tensor, targets: Tensor, terms: LossTerms = ()) -> HeadLoss:
        """The mean loss over `targets` (batch, time; -100 is left out) without ever holding all logits.

        `terms` are added to the cross entropy; see `ablab.arch.loss`.
        """
        weight = self.head(self.embedding.weight)
        return head_loss(self.hidden(tokens).flatten(0, 1), weight, targets.flatten(), terms)


def branch_count(model: Decoder) -> int:
    """Residual branches in the whole model: 2 a block in the base decoder."""
    blocks = (block for block in model.blocks if isinstance(block, Block))
    return sum(len(group) for block in blocks for group in block.wiring)


def on_meta(arch: Architecture) -> Decoder:
    """The model without storage: shapes and roles only, for looking and counting."""
    with torch.device("meta"):
        return Decoder(arch)
