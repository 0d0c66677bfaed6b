"""Parameters, FLOPs and memory of an architecture, counted by walking the model on the meta device
instead of by formulas.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ablab.arch.composition.guard import calling
from ablab.arch.counting.attention import attention_flops
from ablab.arch.counting.counter import Counter
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.context import ForwardContext
from ablab.arch.roles import Kind, Parallel, weights
from ablab.arch.value import Architecture
from ablab.errors import UserError

FLOP_CONVENTION = (
    "2 FLOPs per multiply-add; matmuls as counted by torch on the meta device, forward and "
    "backward, without recomputation; "
    "attention is charged for the pairs its pattern attends to (dense causal: T(T+1)/2), its "
    "backward twice its forward"
)
_MAX_PARAMETERS = 10**13
# Bytes per value.
_FLOAT32 = 4
_BFLOAT16 = 2


@runtime_checkable
class CachesValues(Protocol):
    """A mixer with a cache for decoding."""

    def cache_values(self, time: int) -> int:
        """Return the number of cached values for one sequence after `time` tokens."""
        ...


@dataclass(frozen=True)
class Parameters:
    """Parameter counts. `embedding` covers token and position tables and an untied output
    projection; `non_embedding` covers everything else.
    """

    total: int
    embedding: int
    non_embedding: int


@dataclass(frozen=True)
class Flops:
    """FLOPs per token at the full context, for `forward` alone and for `training` (forward and
    backward).
    """

    forward: float
    training: float


@dataclass(frozen=True)
class Memory:
    """Bytes in float32 of the weights, the gradients and AdamW's two moments."""

    weights: int
    gradients: int
    optimizer: int

    @classmethod
    def of(cls, parameters: int) -> "Memory":
        """Return the memory of a model with this number of parameters."""
        return cls(*(factor * _FLOAT32 * parameters for factor in (1, 1, 2)))


@dataclass(frozen=True)
class Account:
    """The costs of a model. `kv_cache_bytes_per_token` refers to a bfloat16 cache of the full
    context.
    """

    parameters: Parameters
    flops_per_token: Flops
    kv_cache_bytes_per_token: int
    memory_bytes: Memory
    dims: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON types."""
        return asdict(self)


@lru_cache(maxsize=512)
def account(arch: Architecture) -> Account:
    """Count the costs of `arch` on the meta device, without allocating memory. Raises UserError if
    the model cannot be built or run.
    """
    with building():
        model = on_meta(arch)
        flops = count_flops(model)
    parameters = count_parameters(model)
    if parameters.total > _MAX_PARAMETERS:
        raise UserError(
            f"this model has {parameters.total:.3g} parameters: at most {_MAX_PARAMETERS:.0e}"
        )
    context = arch.dims.context
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
    """Convert every exception within the context to UserError, since a plugin's module may raise
    anything.
    """
    with calling("this model cannot be built"):
        yield


def count_parameters(model: nn.Module) -> Parameters:
    """Count every weight once; tied weights are a single weight."""
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
    """Return FLOPs per token for one sequence of the full context. `model` must be on the meta
    device.
    """
    time = model.arch.dims.context
    tokens = torch.zeros(1, time, dtype=torch.long, device="meta")
    flow = ForwardContext()
    # The kernel composed of plain matmuls: for some of the others torch counts no FLOPs.
    plain = sdpa_kernel(SDPBackend.MATH)
    with plain, Counter() as counter, attention_flops(model, counter) as attention:
        hidden = model.hidden(tokens, flow)
        before_head = counter.total
        with torch.no_grad():
            model.scored(hidden, flow, tokens)
        forward = counter.total
        model.scored(hidden, flow, tokens).total.backward()
        training = counter.total - (forward - before_head)  # the head's forward pass ran twice
    model.zero_grad(set_to_none=True)
    return Flops(
        (forward - attention.computed + attention.charged) / time,
        (training - attention.computed + 3 * attention.charged) / time,
    )


def cache_values(model: nn.Module, time: int) -> int:
    """Return the number of values in the decoding cache of one sequence after `time` tokens."""
    caching = [module for module in model.modules() if isinstance(module, CachesValues)]
    return sum(module.cache_values(time) for module in caching)
