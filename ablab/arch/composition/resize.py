"""Resizing of feed-forwards of any kind, layer by layer, through the methods of each branch."""

from collections.abc import Sequence
from dataclasses import replace

from ablab.arch.value import Architecture, Branch, ByLayer, at_layer
from ablab.errors import UserError


def feed_forward_widths(arch: Architecture) -> tuple[int, ...]:
    """Return the number of hidden units in the feed-forward of each layer. Raises UserError if
    there is none or if it cannot be resized.
    """
    if not any("mlp" in group for group in arch.wiring):
        raise UserError("it has no feed-forward branch (`mlp`) whose width could be changed")
    widths: list[int] = []
    for branch in _branches(arch):
        hidden = branch.hidden_width(arch.dims.width)
        if hidden is None:
            raise UserError(
                f"the width of its feed-forward cannot be changed: {type(branch).__name__} "
                "has no `hidden_width` and `resized`"
            )
        widths.append(hidden)
    return tuple(widths)


def with_feed_forward_widths(arch: Architecture, widths: Sequence[int]) -> Architecture:
    """Return `arch` with these numbers of hidden units in the feed-forwards of its layers, or as
    close to them as possible.
    """
    branches = [
        branch.resized(hidden, arch.dims.width)
        for branch, hidden in zip(_branches(arch), widths, strict=True)
    ]
    if all(branch == branches[0] for branch in branches):
        return replace(arch, mlp=branches[0])
    return replace(arch, mlp=ByLayer(*branches))


def _branches(arch: Architecture) -> list[Branch]:
    return [at_layer(arch.mlp, layer) for layer in range(arch.dims.layers)]
