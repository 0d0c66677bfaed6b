"""The decoder, built from an architecture value. Slots are resolved here; the forward pass is plain
torch.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ablab.arch.modules.context import ForwardContext, KVCache
from ablab.arch.modules.linear import Embedding, shared_names, split_linears
from ablab.arch.modules.logits import Projection
from ablab.arch.modules.loss import HeadLoss, LossTerms, head_loss
from ablab.arch.modules.ranks import ALONE, Ranks
from ablab.arch.roles import Parallel
from ablab.arch.value import Architecture, BuildContext

Branches = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """Groups of branches on the residual stream, wired as data: groups in sequence, the branches of
    a group in parallel.
    """

    def __init__(self, site: BuildContext) -> None:
        super().__init__()
        arch = site.arch
        self.wiring = arch.wiring
        for name in (branch for group in arch.wiring for branch in group):
            self.add_module(name, getattr(arch, name).build(site))
        # A group's join is named after its first branch, so that names don't change with the
        # wiring.
        self.join = nn.ModuleDict({group[0]: arch.join.build(site) for group in arch.wiring})
        self.dropout, self._drops = dropout(arch), arch.dropout > 0
        self.ranks = ALONE
        self.shared: dict[
            str, list[str]
        ] = {}  # by the name of a branch that is split over the ranks
        self._takes_flow = {
            name: "flow" in signature(module.forward).parameters
            for name, module in self.named_children()
        }

    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """X (batch, time, width) -> the same."""
        flow = flow or ForwardContext()
        for group in self.wiring:
            x = self.join[group[0]](x, self._sum(group, flow))
        return x

    def _sum(self, group: Sequence[str], flow: ForwardContext) -> Branches:
        split = any(name in self.shared for name in group)

        def branches(x: Tensor) -> Tensor:
            inside, total = self.ranks.copy_to_region(x) if split else x, None
            for name in group:
                if name in self.shared:
                    y = self._branch(name, inside, flow)
                else:
                    y = self._branch(name, x, flow)
                    y = self.ranks.once(y) if split else y
                total = y if total is None else total + y
            assert total is not None
            return self.ranks.reduce_from_region(total) if split else total

        return branches

    def _branch(self, name: str, x: Tensor, flow: ForwardContext) -> Tensor:
        inputs = (x, flow.part(name)) if self._takes_flow[name] else (x,)
        return self.dropout(
            self._split_branch(name, inputs)
            if name in self.shared
            else getattr(self, name)(*inputs)
        )

    def _split_branch(self, name: str, inputs: tuple[Any, ...]) -> Tensor:
        """The rank's part of a branch's output."""
        branch, shared = getattr(self, name), self.shared[name]
        with self.ranks.drawing() if self._drops and self.training else nullcontext():
            if not shared:
                return branch(*inputs)
            weights = dict(branch.named_parameters())
            summed = self.ranks.shared(*[weights[weight] for weight in shared])
            return functional_call(branch, dict(zip(shared, summed, strict=True)), inputs)

    def split(self, ranks: Ranks) -> None:
        """Keeps this rank's part of each branch that can be split. Raises UserError where there are
        no equal parts.
        """
        self.ranks = ranks
        for name in (name for group in self.wiring for name in group):
            branch = getattr(self, name)
            if hasattr(branch, "split"):
                branch.split(ranks)
                self.shared[name] = shared_names(branch)


class Decoder(nn.Module):
    """A decoder-only transformer: token ids (batch, time) -> logits (batch, time, vocab).

    `checkpointing`: blocks keep no activations for the backward pass and run once more in it (Chen
    et al. 2016, arXiv:1604.06174).
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.checkpointing = False
        site = arch.site()
        self.embedding = Embedding(arch.table_vocab, arch.dims.width, Parallel.VOCAB)
        self.position = arch.position.build(site)
        self.dropout = dropout(arch)
        self.blocks = nn.ModuleList(Block(arch.site(layer)) for layer in range(arch.dims.layers))
        self.final = arch.final.build(site)
        self.head = arch.head.build(site)
        self.projection = Projection(arch)

    def split(self, ranks: Ranks) -> None:
        """Keeps this rank's part: of the vocabulary, and of every branch that has a method `split`;
        all else stays whole. Raises UserError where there are no equal parts.
        """
        self.embedding.split(ranks)
        split_linears(self.head, ranks)
        self.projection.ranks = ranks
        for block in self.blocks:
            block.split(ranks)  # pyright: ignore[reportCallIssue]

    def hidden(self, tokens: Tensor, flow: ForwardContext) -> Tensor:
        """Tokens (batch, time) -> what the head reads, (batch, time, width). Raises ValueError past
        the context.
        """
        if flow.start + tokens.shape[1] > self.arch.dims.context:
            read = f"{flow.start} + " if flow.start else ""
            raise ValueError(
                f"{read}{tokens.shape[1]} tokens do not fit the context of {self.arch.dims.context}"
            )
        x = self.dropout(self.position(self.embedding(tokens), flow.start))
        again = self.checkpointing and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            part = flow.part(str(layer))
            x = _checkpointed(block, x, part) if again else block(x, part)
        return self.final(x)

    def forward(self, tokens: Tensor, memory: KVCache | None = None) -> Tensor:
        """Tokens (batch, time) -> logits (batch, time, vocab).

        With `memory` the tokens go on from those it has seen; what later ones need of them is kept
        in it.
        """
        hidden = self.hidden(tokens, ForwardContext(memory.seen if memory else 0, {}, memory))
        if memory is not None:
            memory.seen += tokens.shape[1]
        logits = self.projection(hidden, self.head(self.embedding.weight))
        return self.projection.ranks.gathered(logits, -1)[..., : self.arch.dims.vocab]

    def loss(self, tokens: Tensor, targets: Tensor, terms: LossTerms = ()) -> HeadLoss:
        """The mean loss over `targets` (batch, time; -100 is left out) without ever holding all
        logits.

        `terms` are added to the cross entropy (see `ablab.arch.modules.loss`), and so is what the
        branches add to the flow.
        """
        flow = ForwardContext()
        return self.scored(self.hidden(tokens, flow), flow, targets, terms)

    def scored(
        self, hidden: Tensor, flow: ForwardContext, targets: Tensor, terms: LossTerms = ()
    ) -> HeadLoss:
        """The loss of what the head reads, (batch, time, width), with what the branches added to
        `flow`.
        """
        weight = self.head(self.embedding.weight)
        result = head_loss(
            self.projection,
            (hidden.flatten(0, 1), weight),
            targets.flatten(),
            terms,
            self.projection.ranks,
        )
        added = flow.losses()
        return result if added is None else result._replace(total=result.total + added)


def dropout(arch: Architecture) -> nn.Module:
    """The architecture's dropout on activations."""
    return nn.Dropout(arch.dropout) if arch.dropout else nn.Identity()


def _checkpointed(block: nn.Module, x: Tensor, flow: ForwardContext) -> Tensor:
    """The block's output. It runs again in the backward pass, so it must find the carry as it
    was.
    """

    def run(x: Tensor, carry: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        own = ForwardContext(flow.start, dict(carry), None)
        return block(x, own), own.carry

    x, carry = checkpoint(run, x, dict(flow.carry), use_reentrant=False)  # pyright: ignore[reportGeneralTypeIssues]
    flow.carry.update(carry)
    return x


def branch_count(model: Decoder) -> int:
    """Residual branches in the whole model: 2 a block in the base decoder."""
    blocks = (block for block in model.blocks if isinstance(block, Block))
    return sum(len(group) for block in blocks for group in block.wiring)


def on_meta(arch: Architecture) -> Decoder:
    """The model without storage: shapes and roles only, for looking and counting."""
    with torch.device("meta"):
        return Decoder(arch)
