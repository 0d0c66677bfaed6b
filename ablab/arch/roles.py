"""The role of each weight, declared where the weight is created, and the walk that collects them.

Parameter counts, initialisation, weight decay and the tensor-parallel plan are walks over the built
model. A module declares its roles in `roles`, a mapping from the names of its own parameters. A
module without roles is replicated on every rank and initialises itself (`reset_parameters`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from torch import nn


class Kind(StrEnum):
    """The kind of a weight; it determines the initialisation and whether weight decay applies."""

    MATRIX = "matrix"
    EMBEDDING = "embedding"
    BIAS = "bias"
    GAIN = "gain"


class Parallel(StrEnum):
    """How a weight is split over tensor-parallel ranks (Shoeybi et al. 2019, arXiv:1909.08053)."""

    COLUMN = "column"  # cut along its outputs
    ROW = "row"  # cut along its inputs; the outputs are summed
    VOCAB = "vocab"  # cut along the vocabulary
    REPLICATED = "replicated"  # whole on every rank


@dataclass(frozen=True)
class Role:
    """The role of one weight. `writes_stream` states whether its output is added to the residual
    stream.
    """

    kind: Kind
    parallel: Parallel = Parallel.REPLICATED
    writes_stream: bool = False


@runtime_checkable
class DeclaresRoles(Protocol):
    """A module that declares the roles of its own parameters, by name."""

    roles: Mapping[str, Role]


@runtime_checkable
class ResetsParameters(Protocol):
    """A module that initialises its own parameters."""

    def reset_parameters(self) -> None:
        """Set initial values from torch's global random state."""
        ...


@dataclass(frozen=True)
class Weight:
    """A parameter of a built model with its full name; `role` is None if its module declares
    none.
    """

    name: str
    parameter: nn.Parameter
    role: Role | None
    owner: nn.Module

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: to matrices and embeddings, and without a role to tensors
        of two or more dimensions.
        """
        if self.role is None:
            return self.parameter.ndim >= 2
        return self.role.kind in (Kind.MATRIX, Kind.EMBEDDING)

    @property
    def hidden_matrix(self) -> bool:
        """Whether the weight is a matrix between activations, as opposed to an embedding table, an
        output projection or a weight without a role.
        """
        if self.role is None or self.parameter.ndim != 2:
            return False
        return self.role.kind is Kind.MATRIX and self.role.parallel is not Parallel.VOCAB


def weights(model: nn.Module) -> Iterator[Weight]:
    """Yield every parameter of `model` once, in the order of the model."""
    visited: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        roles = _roles(module)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in visited:
                visited.add(parameter)
                yield Weight(
                    f"{prefix}.{name}" if prefix else name, parameter, roles.get(name), module
                )


def _roles(module: nn.Module) -> Mapping[str, Role]:
    return module.roles if isinstance(module, DeclaresRoles) else {}
