"""Costs of training and using a model: peak memory, decoding speed and KV cache, measured after the
last step.

The results of the run are final by then, so measuring cannot change them.
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

_SPAN = 8  # tokens in a timed span
_MIN_SPANS = 3
_MAX_SPANS = 12
_SECONDS = 0.25  # after which no further span is timed
_BYTES = {"fp64": 8, "fp32": 4, "bf16": 2}


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
    with _uncompiled(model), LiveBytes([*model.parameters(), *model.buffers(), *state]) as live:
        for loss in losses():
            loss.backward()
    optimizer.zero_grad()
    model.train(training)
    return live.peak


@torch.no_grad()
def decoding(model: Decoder, tokens: Tensor, precision: str) -> dict[str, float | None]:
    """Measure greedy decoding of one sequence with the KV cache.

    `decode_tokens_per_second` is the median over 3 to 12 spans of up to 8 tokens each, after a
    prompt of half the context; measuring stops after a quarter of a second. `kv_cache_bytes` is the
    size of the cache for a full context, without spare capacity. `tokens` `(context,)` are on the
    model's device.

    Both are None if the model cannot decode: it may come from a plugin, and the run must not fail
    because of these figures.
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
                "kv_cache_bytes": memory.used_bytes(),
            }
    except Exception:  # whatever a plugin's module raises
        return {"decode_tokens_per_second": None, "kv_cache_bytes": None}
    finally:
        model.train(training)


def decoding_on_parts(model: Decoder, precision: str) -> dict[str, float | None]:
    """Return the figures of `decoding` for a model that no single process holds: it does not
    decode, and the size of the cache is calculated.
    """
    values = cache_values(on_meta(model.arch), model.arch.dims.context)
    return {"decode_tokens_per_second": None, "kv_cache_bytes": _BYTES[precision] * values}


def _speed(model: Decoder, tokens: Tensor) -> float | None:
    context = model.arch.dims.context
    if context < 2:
        return None
    spans = _spans(model, tokens[None, : context // 2])
    seconds: list[float] = []
    start = perf_counter()
    for span in islice(spans, 1, 1 + _MAX_SPANS):  # the first warms up
        seconds.append(span)
        if len(seconds) >= _MIN_SPANS and perf_counter() - start > _SECONDS:
            break
    return 1 / median(seconds)


def _spans(model: Decoder, prompt: Tensor) -> Iterator[float]:
    """Yield seconds per token of successive spans, starting over from the prompt `(1, time)`
    whenever the context is full.
    """
    context = model.arch.dims.context
    length = min(_SPAN, max(1, (context - prompt.shape[1]) // 4))
    while True:
        memory = KVCache()
        token = model(prompt, memory)[:, -1:].argmax(-1)
        while memory.length + length <= context:
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
    """Disable compilation: each length of the cache would be compiled separately."""
    compiled = any(
        getattr(module, "_compiled_call_impl", None) is not None for module in model.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
