"""The decoder. Slots are resolved when it is built, so the forward pass is plain torch."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ablab.arch.modules.context import ContextModule, ForwardContext, KVCache
from ablab.arch.modules.linear import Embedding, shared_names, split_linears
from ablab.arch.modules.logits import Projection
from ablab.arch.modules.loss import HeadLoss, LossTerms, head_loss
from ablab.arch.modules.ranks import ALONE, Ranks, Splittable
from ablab.arch.roles import Parallel
from ablab.arch.value import Architecture, BuildContext

Branches = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """A block of residual branches. Groups of branches run in sequence, the branches of a group in
    parallel.
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
        self.dropout = dropout(arch)
        self._drops = arch.dropout > 0
        self.ranks = ALONE
        # For each branch that is split over the ranks, its weights that every rank holds whole.
        self.shared: dict[str, list[str]] = {}
        self._uses_context = {
            name: isinstance(module, ContextModule) for name, module in self.named_children()
        }

    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """Map x `(batch, time, width)` to the same shape."""
        flow = flow or ForwardContext()
        for group in self.wiring:
            x = self.join[group[0]](x, self._sum(group, flow))
        return x

    def _sum(self, group: Sequence[str], flow: ForwardContext) -> Branches:
        split = any(name in self.shared for name in group)

        def branches(x: Tensor) -> Tensor:
            inside = self.ranks.copy_to_region(x) if split else x
            total = None
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
        inputs = (x, flow.part(name)) if self._uses_context[name] else (x,)
        if name in self.shared:
            return self.dropout(self._split_branch(name, inputs))
        return self.dropout(getattr(self, name)(*inputs))

    def _split_branch(self, name: str, inputs: tuple[Any, ...]) -> Tensor:
        """Return this rank's part of the output of a branch."""
        branch = getattr(self, name)
        names = self.shared[name]
        with self.ranks.drawing() if self._drops and self.training else nullcontext():
            if not names:
                return branch(*inputs)
            parameters = dict(branch.named_parameters())
            weights = self.ranks.shared(*[parameters[weight] for weight in names])
            return functional_call(branch, dict(zip(names, weights, strict=True)), inputs)

    def split(self, ranks: Ranks) -> None:
        """Keep this rank's part of each branch that can be split. Raises UserError if a branch
        cannot be divided equally.
        """
        self.ranks = ranks
        for name in (name for group in self.wiring for name in group):
            branch = getattr(self, name)
            if isinstance(branch, Splittable):
                branch.split(ranks)
                self.shared[name] = shared_names(self.get_submodule(name))


class Decoder(nn.Module):
    """A decoder-only transformer: token ids `(batch, time)` to logits `(batch, time, vocab)`.

    With `checkpointing`, blocks discard their activations and recompute them in the backward pass
    (Chen et al. 2016, arXiv:1604.06174).
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
        """Keep this rank's part of the vocabulary and of every branch with a `split` method;
        everything else is replicated.

        Raises UserError if something cannot be divided equally.
        """
        self.embedding.split(ranks)
        split_linears(self.head, ranks)
        self.projection.ranks = ranks
        for block in self.blocks:
            block.split(ranks)  # pyright: ignore[reportCallIssue]

    def hidden(self, tokens: Tensor, flow: ForwardContext) -> Tensor:
        """Map tokens `(batch, time)` to the final hidden states `(batch, time, width)`. Raises
        ValueError if they exceed the context.
        """
        if flow.start + tokens.shape[1] > self.arch.dims.context:
            count = f"{flow.start} + {tokens.shape[1]}" if flow.start else f"{tokens.shape[1]}"
            raise ValueError(f"{count} tokens do not fit the context of {self.arch.dims.context}")
        x = self.dropout(self.position(self.embedding(tokens), flow.start))
        recompute = self.checkpointing and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            part = flow.part(str(layer))
            x = _checkpointed(block, x, part) if recompute else block(x, part)
        return self.final(x)

    def forward(self, tokens: Tensor, memory: KVCache | None = None) -> Tensor:
        """Map tokens `(batch, time)` to logits `(batch, time, vocab)`.

        With `memory`, the tokens continue the sequence that is cached there, and are added to the
        cache.
        """
        hidden = self.hidden(tokens, ForwardContext(memory.length if memory else 0, {}, memory))
        if memory is not None:
            memory.length += tokens.shape[1]
        logits = self.projection(hidden, self.head(self.embedding.weight))
        return self.projection.ranks.all_gather(logits, -1)[..., : self.arch.dims.vocab]

    def loss(self, tokens: Tensor, targets: Tensor, terms: LossTerms = ()) -> HeadLoss:
        """Return the mean loss over `targets` `(batch, time)` without materialising all logits;
        targets of -100 are ignored.

        `terms` (see `ablab.arch.modules.loss`) and the losses that branches add to the context are
        added to the cross entropy.
        """
        flow = ForwardContext()
        return self.scored(self.hidden(tokens, flow), flow, targets, terms)

    def scored(
        self, hidden: Tensor, flow: ForwardContext, targets: Tensor, terms: LossTerms = ()
    ) -> HeadLoss:
        """Return the loss of final hidden states `(batch, time, width)`, including the losses added
        to `flow`.
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
    """Return the architecture's dropout on activations."""
    return nn.Dropout(arch.dropout) if arch.dropout else nn.Identity()


def _checkpointed(block: nn.Module, x: Tensor, flow: ForwardContext) -> Tensor:
    """Run the block with activation checkpointing. The carry is copied, because the block runs
    again in the backward pass and must find it unchanged.
    """

    def run(x: Tensor, carry: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        inner = ForwardContext(flow.start, dict(carry), None)
        return block(x, inner), inner.carry

    outputs = checkpoint(run, x, dict(flow.carry), use_reentrant=False)
    x, carry = outputs  # pyright: ignore[reportGeneralTypeIssues]
    flow.carry.update(carry)
    return x


def branch_count(model: Decoder) -> int:
    """Return the number of residual branches in the model, two per block in the base decoder."""
    blocks = (block for block in model.blocks if isinstance(block, Block))
    return sum(len(group) for block in blocks for group in block.wiring)


def on_meta(arch: Architecture) -> Decoder:
    """Build the model on the meta device, with shapes and roles but no storage."""
    with torch.device("meta"):
        return Decoder(arch)
