"""Build a model from an architecture value, with weights seeded by parameter name."""

import hashlib
from collections.abc import Iterator

import torch

from ablab.arch.decoder.decoder import Decoder, branch_count
from ablab.arch.roles import (
    DeclaresRoles,
    Kind,
    Parallel,
    ResetsParameters,
    Role,
    Weight,
    weights,
)
from ablab.arch.slots import Init
from ablab.arch.value import Architecture


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that is a function of `parts` alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def build_model(arch: Architecture, seed: int) -> Decoder:
    """Build the model on the CPU in float32.

    Weights of the same name and shape in two architectures have the same initial values, up to the
    scale of their initialisation.
    """
    model = Decoder(arch)
    initialise(model, seed)
    return model


@torch.no_grad()
def initialise(model: Decoder, seed: int) -> None:
    """Initialise every weight in float32, each by a CPU generator seeded with the parameter
    name.
    """
    for module_name, module in _without_roles(model):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, module_name))
            module.reset_parameters()
    branches = branch_count(model)
    for weight in weights(model):
        if weight.role is not None:
            weight.parameter.copy_(_initial_value(weight, model.arch, branches, seed))


def _initial_value(weight: Weight, arch: Architecture, branches: int, seed: int) -> torch.Tensor:
    role = weight.role
    shape = tuple(weight.parameter.shape)
    assert role is not None
    if role.kind is Kind.BIAS:
        return torch.zeros(shape)
    if role.kind is Kind.GAIN:
        return torch.ones(shape)
    std = _std(role, shape, arch.init)
    if role.writes_stream:
        std *= arch.init.residual.factor(branches)
    generator = torch.Generator("cpu").manual_seed(seed_of(seed, weight.name))
    return torch.randn(shape, generator=generator, dtype=torch.float32) * std


def _std(role: Role, shape: tuple[int, ...], init: Init) -> float:
    if role.kind is not Kind.EMBEDDING:
        return init.matrix.std(shape)
    if role.parallel is Parallel.VOCAB:
        return init.embedding.std(shape)
    return init.embedding.position_std(shape)


def _without_roles(model: Decoder) -> Iterator[tuple[str, ResetsParameters]]:
    """Yield modules that own parameters but declare no roles; they initialise themselves."""
    for name, module in model.named_modules():
        parameters = [p for p, _ in module.named_parameters(recurse=False)]
        if parameters and not isinstance(module, DeclaresRoles):
            if not isinstance(module, ResetsParameters):
                raise TypeError(
                    f"{name} ({type(module).__name__}) has weights but neither roles nor "
                    "reset_parameters"
                )
            yield name, module
