"""From an expression and sizes to a checked composite."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ablab.arch.composition.base import BASE
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import Model, resolve
from ablab.arch.composition.registry import Registry
from ablab.arch.value import Architecture, Dims
from ablab.errors import UserError, unknown


def sized(dims: Dims, overrides: Mapping[str, Any]) -> Dims:
    """`dims` with `overrides`; a head dimension that is not given follows width and heads anew.
    Raises UserError.
    """
    known = [f.name for f in fields(Dims)]
    for name, value in overrides.items():
        if name not in known:
            raise unknown("size", name, known)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name} must be a whole number of at least 1, not {value!r}")
    if {"width", "heads"} & set(overrides):
        dims = replace(dims, head_dim=None)
    dims = replace(dims, **overrides)
    if dims.head_dim is None and dims.width % dims.heads:
        raise UserError(
            f"width {dims.width} is not a multiple of heads {dims.heads}: give head_dim, or "
            "other heads"
        )
    return dims


def composite(model: Model, base: Composite, overrides: Mapping[str, Any]) -> Composite:
    """The arm's value at its size: the family's, under what the arm chooses of its data, under
    `overrides`.

    Raises UserError on conflicts and sizes that don't fit.
    """
    value = model.compose(replace(base, arch=replace(BASE, dims=model.dims)))
    return replace(
        value, arch=replace(value.arch, dims=sized(model.dims, {**value.data.sizes(), **overrides}))
    )


def architecture(expression: str, registry: Registry, overrides: Mapping[str, Any]) -> Architecture:
    """The architecture of an expression, with sizes overridden."""
    return composite(resolve(expression, registry), Composite(), overrides).arch
