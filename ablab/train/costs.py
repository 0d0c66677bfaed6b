"""What a trained model costs to use, and to train: decoding speed, KV cache and peak memory,
measured after its last step.

The run's numbers are settled by then, so that nothing measured here can change them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from ablab.arch.counting.account import cache_values
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.context import KVCache

_SPAN, _FEWEST, _MOST, _SECONDS = 8, 3, 12, 0.25
_BYTES = {"fp64": 8, "fp32": 4, "bf16": 2}


class LiveBytes(TorchDispatchMode):
    """While it is entered, adds up the storages of all tensors that are alive, `held` and what
    operations make. `peak`: bytes at most. What a kernel takes and gives back within itself is not
    seen.
    """

    def __init__(self, held: list[Tensor]) -> None:
        super().__init__()
        self._alive, self.peak = WeakIdKeyDictionary(), 0
        self._note(held)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation and notes what it made."""
        made = func(*args, **(kwargs or {}))
        self._note([leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)])
        return made

    def _note(self, tensors: list[Tensor]) -> None:
        before = len(self._alive)
        for tensor in tensors:
            self._alive[
                (tensor.to_local() if isinstance(tensor, DTensor) else tensor).untyped_storage()
            ] = True
        if (
            len(self._alive) > before
        ):  # FSDP empties storages and fills them again, so their sizes are asked for each time
            self.peak = max(self.peak, sum(storage.nbytes() for storage in self._alive))


def training_peak(
    model: Decoder, optimizer: Optimizer, losses: Callable[[], Iterator[Tensor]]
) -> int:
    """Bytes of tensors at the peak of a training step: weights, optimizer state, gradients, and
    what the backward pass of each of `losses` (scalars, made one at a time; gradients add up)
    needs. Blocks run uncompiled; what the optimizer takes for a moment is left out. All processes
    that hold a part of the model call it together; the figure is of this one's part.
    """
    training = model.training
    model.train()
    optimizer.zero_grad()
    state = [x for kept in optimizer.state.values() for x in kept.values() if isinstance(x, Tensor)]
    with _uncompiled(model), LiveBytes([*model.parameters(), *model.buffers(), *state]) as live:
        for loss in losses():
            loss.backward()
    optimizer.zero_grad()
    model.train(training)
    return live.peak


@torch.no_grad()
def decoding(model: Decoder, tokens: Tensor, precision: str) -> dict[str, float | None]:
    """`decode_tokens_per_second`: greedy decoding with the KV cache, one sequence, behind a prompt
    of half the context: the median over spans of up to 8 tokens, 3 or more, for a quarter of a
    second at most. `kv_cache_bytes`: what the cache holds of one sequence of the full context, its
    room to grow apart. `tokens` (context,) on the model's device.

    None for a model that cannot decode: it may be a plugin's, and its run is worth more than this
    figure.
    """
    training = model.training
    model.eval()
    try:
        with (
            torch.autocast(tokens.device.type, torch.bfloat16, enabled=precision == "bf16"),
            _uncompiled(model),
        ):
            memory = KVCache()
            model(tokens.unsqueeze(0), memory)
            return {
                "decode_tokens_per_second": _speed(model, tokens),
                "kv_cache_bytes": memory.held(),
            }
    except Exception:  # whatever a plugin's module raises
        return {"decode_tokens_per_second": None, "kv_cache_bytes": None}
    finally:
        model.train(training)


def decoding_on_parts(model: Decoder, precision: str) -> dict[str, float | None]:
    """The same of a model that no process holds whole: its parts do not decode, and the cache is
    counted, not measured.
    """
    values = cache_values(on_meta(model.arch), model.arch.dims.context)
    return {"decode_tokens_per_second": None, "kv_cache_bytes": _BYTES[precision] * values}


def _speed(model: Decoder, tokens: Tensor) -> float | None:
    context = model.arch.dims.context
    if context < 2:
        return None
    spans, seconds, start = (
        _spans(model, tokens[None, : context // 2]),
        list[float](),
        perf_counter(),
    )
    for span in islice(spans, 1, 1 + _MOST):  # the first warms up
        seconds.append(span)
        if len(seconds) >= _FEWEST and perf_counter() - start > _SECONDS:
            break
    return 1 / median(seconds)


def _spans(model: Decoder, prompt: Tensor) -> Iterator[float]:
    """Seconds per token, of one span after another; where the context is full they begin again
    behind the prompt (1, time).
    """
    context = model.arch.dims.context
    length = min(_SPAN, max(1, (context - prompt.shape[1]) // 4))
    while True:
        memory = KVCache()
        token = model(prompt, memory)[:, -1:].argmax(-1)
        while memory.seen + length <= context:
            _wait()
            start = perf_counter()
            for _ in range(length):
                token = model(token, memory)[:, -1:].argmax(-1)
            _wait()
            yield (perf_counter() - start) / length


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _uncompiled(model: nn.Module) -> AbstractContextManager[Any]:
    """Each length of the cache would be compiled anew."""
    compiled = any(
        getattr(module, "_compiled_call_impl", None) is not None for module in model.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
