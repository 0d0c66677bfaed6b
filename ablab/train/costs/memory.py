"""Peak memory of a training step.

It is measured after the last step: the results of the run are final by then.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from ablab.arch.decoder.decoder import Decoder
from ablab.train.costs.eager import uncompiled


class LiveBytes(TorchDispatchMode):
    """Track the storage of all live tensors: `tensors` and everything that operations return within
    the context.

    `peak` is the largest total in bytes. Workspace that a kernel allocates and frees internally is
    not included.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()
        self._alive = WeakIdKeyDictionary()
        self.peak = 0
        self._note(tensors)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and record its outputs."""
        output = func(*args, **(kwargs or {}))
        self._note([leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)])
        return output

    def _note(self, tensors: list[Tensor]) -> None:
        before = len(self._alive)
        for tensor in tensors:
            local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            self._alive[local.untyped_storage()] = True
        # FSDP empties storages and refills them, so the sizes have to be read each time.
        if len(self._alive) > before:
            self.peak = max(self.peak, sum(storage.nbytes() for storage in self._alive))


def training_peak(
    model: Decoder, optimizer: Optimizer, losses: Callable[[], Iterator[Tensor]]
) -> int:
    """Return the peak number of bytes in tensors during a training step.

    This includes weights, optimizer state, gradients and what the backward pass of each of `losses`
    needs. These are scalars that are produced one at a time; their gradients accumulate. Blocks run
    uncompiled, and temporary memory of the optimizer is not included. All processes that hold a
    part of the model must call this together; the result refers to the part of this process.
    """
    training = model.training
    model.train()
    optimizer.zero_grad()
    state = [
        x
        for per_weight in optimizer.state.values()
        for x in per_weight.values()
        if isinstance(x, Tensor)
    ]
    with uncompiled(model), LiveBytes([*model.parameters(), *model.buffers(), *state]) as live:
        for loss in losses():
            loss.backward()
    optimizer.zero_grad()
    model.train(training)
    return live.peak
