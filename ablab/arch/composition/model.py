"""From an expression and sizes to a validated composite."""

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
    """Return `dims` with `overrides`. If width or heads change, head_dim is derived from them again
    unless it is overridden as well.

    Raises UserError if an override is unknown or invalid.
    """
    names = [f.name for f in fields(Dims)]
    for name, value in overrides.items():
        if name not in names:
            raise unknown("size", name, names)
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
    """Return the value of an arm. Its sizes are those of the family, overridden by the data choices
    of the arm, then by `overrides`.

    Raises UserError on conflicts and on sizes that do not fit together.
    """
    value = model.compose(replace(base, arch=replace(BASE, dims=model.dims)))
    dims = sized(model.dims, {**value.data.sizes(), **overrides})
    return replace(value, arch=replace(value.arch, dims=dims))


def architecture(expression: str, registry: Registry, overrides: Mapping[str, Any]) -> Architecture:
    """Return the architecture of an expression, with some sizes overridden."""
    return composite(resolve(expression, registry), Composite(), overrides).arch
