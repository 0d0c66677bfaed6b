"""Checks of whether a model can be trained and judged: no token may see a later one, every weight
must take part in the loss, and a cache must not change the logits.

Each check returns what is wrong, in words, or an empty string. `fault` applies them to a small
model of an architecture before it is trained; `ablab.arch.conformance` applies them to plugins.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ablab.arch.decoder.build import build_model
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.context import KVCache
from ablab.arch.value import Architecture, ByLayer

# A key's bias adds the same to all scores of a query, which the softmax takes off, unless keys are
# normed or turned.
WITHOUT_GRADIENT = ("*.mixer.k.bias",)
_SEQUENCES = 16
# Relative to the largest gradient; a weight that takes part has more than 1e-3 of it in models
# this small.
_ROUNDING = 1e-9
_CACHE_TOLERANCE = 1e-2  # far above rounding in any format; a wrong cache moves logits by more
_CONTEXT = 12
_VOCAB = 61
_HEAD_WIDTH = 8
_MOST_PARAMETERS = 20_000_000  # of a model that is checked


def fault(arch: Architecture, precision: str = "fp32", device: str = "cpu") -> str:
    """Return what is wrong with an architecture; empty if nothing is.

    It is checked at a small size if it can be built there, else at its own width with few layers
    and tokens. A model of which that is too large is not checked. `precision` is that of the runs,
    for modules that support no other.

    Raises whatever the modules raise.
    """
    error: Exception | None = None
    for small in _small(arch):
        for dtype, autocast in _formats(precision, device):
            try:
                if not _is_small(small):
                    return ""
                with autocast, torch.random.fork_rng():
                    return _fault(_lively(small, dtype).to(device))
            except Exception as raised:
                error = error or raised
    if error is not None:
        raise error
    return ""


def _fault(model: Decoder) -> str:
    # Dropout and normalisation over a batch act in training mode.
    found = causal_fault(model.train()) or gradient_fault(model.eval())
    return found or _decoding_fault(model)


def _decoding_fault(model: Decoder) -> str:
    """Return whether the cache changes the logits. A model that cannot decode has none."""
    try:
        difference = cache_difference(model)
    except Exception:  # whatever a plugin's module raises
        return ""
    if difference < _CACHE_TOLERANCE:
        return ""
    return f"logits that are decoded with the cache are {difference:.3g} away from those without it"


def _formats(
    precision: str, device: str
) -> Iterator[tuple[torch.dtype, AbstractContextManager[Any]]]:
    """Yield the numeric formats to try, the most exact first."""
    yield torch.float64, nullcontext()
    yield torch.float32, nullcontext()
    if precision == "bf16":
        yield torch.float32, torch.autocast(device, torch.bfloat16)


def _small(arch: Architecture) -> Iterator[Architecture]:
    """Yield smaller architectures of the same kind, the last of which may be of the same width."""
    heads = arch.dims.heads
    layers = min(arch.dims.layers, max(2, _period(arch)))
    context = min(arch.dims.context, _CONTEXT)
    few = replace(arch.dims, layers=layers, vocab=_VOCAB, context=context)
    yield replace(arch, dims=replace(few, width=_HEAD_WIDTH * heads, head_dim=None))
    yield replace(arch, dims=few)


def _is_small(arch: Architecture) -> bool:
    return sum(weight.numel() for weight in on_meta(arch).parameters()) <= _MOST_PARAMETERS


def _period(value: Any) -> int:
    """Return the number of layers after which the values of an architecture repeat, at most."""
    if isinstance(value, ByLayer):
        return max(len(value.options), *map(_period, value.options))
    if not is_dataclass(value):
        return 1
    return max((_period(getattr(value, f.name)) for f in fields(value)), default=1)


def causal_fault(model: Decoder) -> str:
    """Check that a token changes its own logits and no earlier ones, and those of no other sequence
    of the batch.
    """
    dims = model.arch.dims
    tokens = _tokens(model, (1, dims.context), seed=1)
    logits = _logits(model, tokens)
    for t in range(dims.context):
        changed = tokens.clone()
        changed[0, t] = (changed[0, t] + 1) % dims.vocab
        moved = (_logits(model, changed) - logits).abs().amax(dim=(0, 2))
        if moved[:t].any():
            return f"token {t} changes an earlier logit"
        if not moved[t] > 0:
            return f"token {t} does not change its own logits"
    others = [torch.cat([tokens, (tokens + shift) % dims.vocab]) for shift in (1, 2)]
    first, second = (_logits(model, batch)[0] for batch in others)
    if not torch.equal(first, second):
        return "the logits of a sequence depend on the others of its batch"
    return ""


def _logits(model: Decoder, tokens: Tensor) -> Tensor:
    torch.manual_seed(0)  # the same dropout masks each time
    with torch.no_grad():
        return model(tokens)


def gradient_fault(model: Decoder, without: Sequence[str] = ()) -> str:
    """Check that the loss gives every parameter a finite gradient, which is not zero for some
    sequence.

    `without`: patterns (as of file names) of parameters whose gradient may be zero, besides
    `WITHOUT_GRADIENT`.
    """
    context = model.arch.dims.context
    still = [""]
    for number in range(_SEQUENCES):  # an expert takes part where a token is sent to it
        tokens = _tokens(model, (2, context + 1), seed=2 + number)
        loss = model.loss(tokens[:, :-1], tokens[:, 1:]).total
        if not loss.isfinite():
            return "the loss is not finite"
        loss.backward()
        faulty = _missing_gradient(model)
        if faulty:
            return faulty
        still = _still(model, (*WITHOUT_GRADIENT, *without))
        if not still:
            return ""
    return f"the gradient of {still[0]} is zero: it takes no part in the loss"


def _missing_gradient(model: Decoder) -> str:
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            return f"{name} gets no gradient"
        if not parameter.grad.isfinite().all():
            return f"the gradient of {name} is not finite"
    return ""


def _still(model: Decoder, without: Sequence[str]) -> list[str]:
    """Return the parameters whose gradient is no larger than rounding, but for those that `without`
    names.
    """
    sizes = {
        name: parameter.grad.abs().max().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    least = _ROUNDING * max(sizes.values(), default=0.0)
    return [
        name
        for name, size in sizes.items()
        if size <= least and not any(fnmatchcase(name, pattern) for pattern in without)
    ]


def cache_difference(model: Decoder) -> float:
    """Return how far logits of a sequence that is read in pieces, with a cache between them, are
    from those of the whole, relative to the largest logit if that exceeds 1.
    """
    tokens = _tokens(model, (2, model.arch.dims.context), seed=5)
    memory = KVCache()
    with torch.no_grad():
        whole = model(tokens)
        pieces = [model(tokens[:, a:b], memory) for a, b in pairwise(_cuts(tokens.shape[1]))]
    difference = (torch.cat(pieces, dim=1) - whole).abs().max().item()
    return difference / max(1.0, whole.abs().max().item())


def _cuts(time: int) -> list[int]:
    """Return where a sequence is cut: a prompt, single tokens, two at once."""
    third = max(1, time // 3)
    return sorted({0, third, *range(third, max(third, time - 2)), time})


def lively(arch: Architecture) -> Decoder:
    """Return a model in float64 with weights so large that nothing hides in small numbers."""
    return _lively(arch, torch.float64)


def _lively(arch: Architecture, dtype: torch.dtype) -> Decoder:
    model = build_model(arch, 0).to(dtype).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
            parameter.add_(noise.to(dtype), alpha=0.2)
    return model


def _tokens(model: Decoder, shape: tuple[int, int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, model.arch.dims.vocab, shape, generator=generator)
    return tokens.to(model.embedding.weight.device)
