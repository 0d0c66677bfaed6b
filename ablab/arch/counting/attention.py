"""FLOPs of attention: its matmuls as counted by torch, scaled by the fraction of pairs that the
pattern attends to.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class PairwiseAttention(Protocol):
    """A module `(q, k, v) -> y` that computes something for pairs of a query and a key, see
    `ablab.arch.modules.attend.Attend`.

    A module without these methods is counted like any other, masked pairs included.
    """

    def pairs(self, time: int) -> int:
        """Return the number of pairs attended to by all heads in a sequence of `time` tokens."""
        ...

    def computed_pairs(self, time: int) -> int:
        """Return the number of pairs computed by all heads, masked pairs included."""
        ...


class Total(Protocol):
    """A counter of FLOPs: torch's or ours."""

    @property
    def total(self) -> int:
        """FLOPs of all operations so far."""
        ...


class AttentionFlops:
    """Forward FLOPs of attention over one sequence. `computed` are those of the matmuls as counted
    by torch; `charged` is their share for pairs that are attended to.
    """

    def __init__(self) -> None:
        self.computed = 0
        self.charged = 0.0

    def add(self, flops: int, attend: PairwiseAttention, time: int) -> None:
        """Add one call of `attend` that took `flops` FLOPs."""
        self.computed += flops
        self.charged += flops * attend.pairs(time) / attend.computed_pairs(time)


@contextmanager
def attention_flops(model: nn.Module, counter: Total) -> Iterator[AttentionFlops]:
    """Record the FLOPs of attention, which `counter` counts as well. Within the context, attention
    builds no autograd graph.

    Its backward pass is charged as twice the forward pass instead of being counted, because the
    kernel that torch selects on the meta device, and the recomputation it is charged for, depend on
    shapes and on whether there is a graph.
    """
    flops = AttentionFlops()
    modules: list[Any] = list(dict.fromkeys(_attention_modules(model)))
    for module in modules:
        module.forward = _recording(module, counter, flops)
    try:
        yield flops
    finally:
        for module in modules:
            del module.forward  # uncovers the method of the class


def _recording(
    attend: Any, counter: Total, flops: AttentionFlops
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    run = attend.forward

    def forward(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        before = counter.total
        with torch.no_grad():
            y = run(q, k, v)
        flops.add(counter.total - before, attend, q.shape[2])
        return y + 0.0 * (q.sum() + k.sum() + v.sum())  # gradients of the same shapes, no FLOPs

    return forward


def _attention_modules(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost attention modules; modules inside them are part of them."""
    if isinstance(module, PairwiseAttention):
        yield module
        return
    for child in module.children():
        yield from _attention_modules(child)
