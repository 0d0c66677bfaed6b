"""What each weight is for, stated once where the weight is made, and the walk that reads it.

Parameters, initial values, weight decay and the tensor-parallel plan are walks over the built
model. A module states its roles in `roles`, a mapping from the names of its own parameters; a
module without roles is replicated whole and keeps its own initial values (`reset_parameters`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from torch import nn


class Kind(StrEnum):
    """What a weight does: decides its initial values and whether it decays."""

    MATRIX = "matrix"
    EMBEDDING = "embedding"
    BIAS = "bias"
    GAIN = "gain"


class Parallel(StrEnum):
    """How a weight is cut over tensor-parallel ranks (Shoeybi et al. 2019, arXiv:1909.08053)."""

    COLUMN = "column"  # cut along its outputs
    ROW = "row"  # cut along its inputs; the outputs are summed
    VOCAB = "vocab"  # cut along the vocabulary
    REPLICATED = "replicated"  # whole on every rank


@dataclass(frozen=True)
class Role:
    """One weight's role. `writes_stream`: its output is added to the residual stream."""

    kind: Kind
    parallel: Parallel = Parallel.REPLICATED
    writes_stream: bool = False


@dataclass(frozen=True)
class Weight:
    """One parameter of a built model, by its full name. `role` is None where its module states
    none.
    """

    name: str
    parameter: nn.Parameter
    role: Role | None
    owner: nn.Module

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: to matrices and embeddings; without a role, to what has two
        dimensions or more.
        """
        if self.role is None:
            return self.parameter.ndim >= 2
        return self.role.kind in (Kind.MATRIX, Kind.EMBEDDING)

    @property
    def hidden_matrix(self) -> bool:
        """Whether it is a matrix from activations to activations: no table, no output projection,
        nothing without a role.
        """
        if self.role is None or self.parameter.ndim != 2:
            return False
        return self.role.kind is Kind.MATRIX and self.role.parallel is not Parallel.VOCAB


def weights(model: nn.Module) -> Iterator[Weight]:
    """Every parameter of `model`, each once, in the model's own order."""
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        roles: dict[str, Role] = getattr(module, "roles", {})
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in seen:
                seen.add(parameter)
                yield Weight(
                    f"{prefix}.{name}" if prefix else name, parameter, roles.get(name), module
                )
