"""Decoding speed and KV cache of a model."""

from collections.abc import Iterator
from itertools import islice
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from ablab.arch.counting.account import cache_values
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.context import KVCache
from ablab.train.costs.eager import uncompiled

_SPAN = 8  # tokens in a timed span
_MIN_SPANS = 3
_MAX_SPANS = 12
_SECONDS = 0.25  # after which no further span is timed
MIN_DECODED = (1 + _MIN_SPANS) * _SPAN
"""Tokens that the shortest measurement of the speed decodes, at most."""
_BYTES = {"fp64": 8, "fp32": 4, "bf16": 2}


@torch.no_grad()
def decoding(model: Decoder, tokens: Tensor, precision: str) -> dict[str, float | None]:
    """Measure greedy decoding of one sequence with the KV cache.

    `decode_tokens_per_second` is the `decode_speed`, measured for a quarter of a second.
    `kv_cache_bytes` is the size of the cache for a full context, without spare capacity. `tokens`
    `(context,)` are on the model's device.

    Both are None if the model cannot decode: it may come from a plugin, and the run must not fail
    because of these figures.
    """
    training = model.training
    model.eval()
    try:
        with (
            torch.autocast(tokens.device.type, torch.bfloat16, enabled=precision == "bf16"),
            uncompiled(model),
        ):
            memory = KVCache()
            model(tokens.unsqueeze(0), memory)
            return {
                "decode_tokens_per_second": decode_speed(model, tokens),
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


@torch.no_grad()
def decode_speed(model: Decoder, tokens: Tensor, seconds: float = _SECONDS) -> float | None:
    """Return the speed of greedy decoding in tokens per second, of a model in evaluation mode.

    It is the median over at least 3 spans of up to 8 tokens each, after a prompt of half the
    context; beyond that, spans are timed until `seconds` have passed or there are 12. None if the
    context, the length of `tokens` `(context,)`, is a single token.
    """
    context = model.arch.dims.context
    if context < 2:
        return None
    spans = _spans(model, tokens[None, : context // 2])
    timed: list[float] = []
    start = perf_counter()
    for span in islice(spans, 1, 1 + _MAX_SPANS):  # the first warms up
        timed.append(span)
        if len(timed) >= _MIN_SPANS and perf_counter() - start > seconds:
            break
    return 1 / median(timed)


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
            synchronise()
            start = perf_counter()
            for _ in range(length):
                token = model(token, memory)[:, -1:].argmax(-1)
            synchronise()
            yield (perf_counter() - start) / length


def synchronise() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
