"""FLOPs of attention: its matmuls as torch counts them, and of these the share of pairs that the
pattern attends to.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class PairwiseAttention(Protocol):
    """A module (q, k, v) -> y that computes something for pairs of a query and a key, see
    `ablab.arch.modules.attend.Attend`. One without these methods is counted like any other module,
    masked pairs included.
    """

    def pairs(self, time: int) -> int:
        """How many pairs all heads together attend to in a sequence of `time` tokens."""
        ...

    def computed_pairs(self, time: int) -> int:
        """How many they compute, masked ones included."""
        ...


class Total(Protocol):
    """What counts FLOPs: torch's counter, or ours."""

    @property
    def total(self) -> int:
        """Those of all that was run so far."""
        ...


class AttentionFlops:
    """Forward FLOPs of attention over one sequence. `computed`: as torch counts the matmuls;
    `charged`: the share of them for pairs that are attended to.
    """

    def __init__(self) -> None:
        self.computed = 0
        self.charged = 0.0

    def add(self, flops: int, attend: PairwiseAttention, time: int) -> None:
        """Add one call of `attend`, which took `flops`."""
        self.computed += flops
        self.charged += flops * attend.pairs(time) / attend.computed_pairs(time)


@contextmanager
def attention_apart(model: nn.Module, counter: Total) -> Iterator[AttentionFlops]:
    """While within, attention keeps no graph, and its FLOPs are noted apart from the others that
    `counter` counts.

    The backward pass is charged as twice the forward pass and not counted: which kernel torch picks
    on the meta device, and what recomputation it is charged, depends on shapes and on whether a
    graph is kept.
    """
    apart = AttentionFlops()
    modules: list[Any] = list(dict.fromkeys(_attention_modules(model)))
    for module in modules:
        module.forward = _noted(module, counter, apart)
    try:
        yield apart
    finally:
        for module in modules:
            del module.forward  # that of its class is in force again


def _noted(
    attend: Any, counter: Total, apart: AttentionFlops
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    run = attend.forward

    def forward(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        before = counter.total
        with torch.no_grad():
            y = run(q, k, v)
        apart.add(counter.total - before, attend, q.shape[2])
        return y + 0.0 * (q.sum() + k.sum() + v.sum())  # gradients of the same shapes, no FLOPs

    return forward


def _attention_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost ones: what such a module contains is part of it."""
    if isinstance(module, PairwiseAttention):
        yield module
        return
    for child in module.children():
        yield from _attention_modules(child)
