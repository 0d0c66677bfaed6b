"""Parameters, FLOPs and memory of an architecture: walks over the model built on the meta device,
never formulas.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ablab.arch.counting.attention import attention_apart
from ablab.arch.counting.counter import Counter
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.context import ForwardContext
from ablab.arch.roles import Kind, Parallel, weights
from ablab.arch.value import Architecture
from ablab.errors import UserError

FLOP_CONVENTION = (
    "2 FLOPs a multiply-add; matmuls as counted by torch on the meta device, forward and "
    "backward, recomputation apart; "
    "attention is charged for the pairs its pattern attends to (dense causal: T(T+1)/2), its "
    "backward twice its forward"
)
_FLOAT32, _BFLOAT16 = 4, 2


@runtime_checkable
class CachesValues(Protocol):
    """A mixer that keeps something between decoding steps."""

    def cache_values(self, time: int) -> int:
        """How many numbers it keeps of one sequence after `time` tokens."""
        ...


@dataclass(frozen=True)
class Parameters:
    """`embedding`: token and position tables and an output projection of its own; `non_embedding`:
    the rest.
    """

    total: int
    embedding: int
    non_embedding: int


@dataclass(frozen=True)
class Flops:
    """FLOPs per token at the full context: `forward` alone, and `training` (forward + backward)."""

    forward: float
    training: float


@dataclass(frozen=True)
class Memory:
    """Bytes in float32: weights, gradients, and AdamW's two moments."""

    weights: int
    gradients: int
    optimizer: int

    @classmethod
    def of(cls, parameters: int) -> "Memory":
        """For so many parameters."""
        return cls(*(factor * _FLOAT32 * parameters for factor in (1, 1, 2)))


@dataclass(frozen=True)
class Account:
    """What a model costs. `kv_cache_bytes_per_token` is for a bfloat16 cache that holds the full
    context.
    """

    parameters: Parameters
    flops_per_token: Flops
    kv_cache_bytes_per_token: int
    memory_bytes: Memory
    dims: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@lru_cache(maxsize=512)
def account(arch: Architecture) -> Account:
    """Counts `arch` on the meta device; nothing is allocated. Raises UserError for a model that
    cannot be built or run.
    """
    with building():
        model = on_meta(arch)
        flops = count_flops(model)
    parameters, context = count_parameters(model), arch.dims.context
    dims = {name: value for name, value in asdict(arch.dims).items() if name != "head_dim"}
    return Account(
        parameters=parameters,
        flops_per_token=flops,
        kv_cache_bytes_per_token=round(_BFLOAT16 * cache_values(model, context) / context),
        memory_bytes=Memory.of(parameters.total),
        dims={**dims, "head_dim": arch.dims.head_width},
    )


@contextmanager
def building() -> Iterator[None]:
    """Turns whatever goes wrong inside into a UserError: a plugin's module may raise anything."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"this model cannot be built: {type(error).__name__}: {error}") from error


def count_parameters(model: nn.Module) -> Parameters:
    """Every weight once: tied weights are one."""
    total = embedding = 0
    for weight in weights(model):
        count = weight.parameter.numel()
        total += count
        if weight.role and (
            weight.role.kind is Kind.EMBEDDING or weight.role.parallel is Parallel.VOCAB
        ):
            embedding += count
    return Parameters(total, embedding, total - embedding)


def count_flops(model: Decoder) -> Flops:
    """FLOPs per token of one sequence of the full context; `model` must be on the meta device."""
    time = model.arch.dims.context
    tokens = torch.zeros(1, time, dtype=torch.long, device="meta")
    flow = ForwardContext()
    # The kernel that is made of plain matmuls: torch counts nothing for some of the others.
    plain = sdpa_kernel(SDPBackend.MATH)
    with plain, Counter() as counter, attention_apart(model, counter) as apart:
        hidden = model.hidden(tokens, flow)
        below = counter.total
        with torch.no_grad():
            model.scored(hidden, flow, tokens)
        forward = counter.total
        model.scored(hidden, flow, tokens).total.backward()
        training = counter.total - (forward - below)  # the head's forward was counted twice
    model.zero_grad(set_to_none=True)
    attention = apart.charged
    return Flops(
        (forward - apart.computed + attention) / time,
        (training - apart.computed + 3 * attention) / time,
    )


def cache_values(model: nn.Module, time: int) -> int:
    """How many numbers a decoding cache holds of one sequence after `time` tokens."""
    caching = [module for module in model.modules() if isinstance(module, CachesValues)]
    return sum(module.cache_values(time) for module in caching)
