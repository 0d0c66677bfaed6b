"""Feed-forwards made wider or narrower, whatever they are: by what a branch says of its own width,
layer by layer.
"""

from collections.abc import Sequence
from dataclasses import replace

from ablab.arch.value import Architecture, Branch, ByLayer, at_layer
from ablab.errors import UserError


def feed_forward_widths(arch: Architecture) -> tuple[int, ...]:
    """How wide the feed-forward of each layer is inside. Raises UserError where there is none, or
    one that cannot be resized.
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
    """`arch` with the feed-forward of each layer so wide inside, or as near to that as it can
    be.
    """
    made = [
        branch.resized(hidden, arch.dims.width)
        for branch, hidden in zip(_branches(arch), widths, strict=True)
    ]
    alike = all(branch == made[0] for branch in made)
    return replace(arch, mlp=made[0] if alike else ByLayer(*made))


def _branches(arch: Architecture) -> list[Branch]:
    return [at_layer(arch.mlp, layer) for layer in range(arch.dims.layers)]
