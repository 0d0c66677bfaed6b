"""The architecture as a frozen value: model sizes, and one slot for each design decision that
plugins may change.

A *slot* holds a frozen dataclass that knows how to build its part of the model. Slots do not read
each other when they are assigned; whatever depends on another slot is resolved when the model is
built, from the `BuildContext` passed to `build`.
"""

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import nn

from ablab.arch.slots import Init, Logits, Slot

T = TypeVar("T")


@dataclass(frozen=True)
class Dims:
    """Model sizes. `width` is the width of the residual stream; `head_dim` defaults to width /
    heads.
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    head_dim: int | None = None
    vocab: int = 40478
    context: int = 512

    @property
    def head_width(self) -> int:
        """The effective head dimension."""
        return self.width // self.heads if self.head_dim is None else self.head_dim


@dataclass(frozen=True)
class BuildContext:
    """The place where a part is built: the architecture with the values of this layer, and the
    layer index (None outside the blocks).
    """

    arch: "Architecture"
    layer: int | None = None

    @property
    def dims(self) -> Dims:
        """The model sizes."""
        return self.arch.dims


class Position(Slot):
    """Position information added to the embeddings. Builds a module `(x, start)` that maps x
    `(batch, time, width)` to the same shape.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """Return the module. `start` is the position of the first token."""


class Rotate(Slot):
    """A rotation of queries and keys. Builds a module `(q, k, start) -> (q, k)`, each `(batch,
    heads, time, head_dim)`.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """Return the module. `start` is the position of the first token."""


class ScoreBias(Slot):
    """A bias on the attention scores that depends on the distance from key to query."""

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module | None:
        """Return a module that maps distances `(...)`, query position minus key position, to biases
        `(heads, ...)`, or None for no bias.
        """


class Norm(Slot):
    """Normalisation over the last dimension."""

    @abstractmethod
    def build(self, site: BuildContext, width: int) -> nn.Module:
        """Return a module that normalises `(..., width)`."""


class Branch(Slot):
    """A branch of a block (mixer or mlp). Builds a module that maps `(batch, time, width)` to the
    same shape.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """Return the module."""

    def hidden_width(self, width: int) -> int | None:
        """Return the number of hidden units in a stream of `width`, or None if the branch cannot be
        resized.
        """
        return None

    def resized(self, hidden: int, width: int) -> "Branch":
        """Return the same feed-forward with `hidden` hidden units in a stream of `width`, or as
        close to that as possible.

        Override it together with `hidden_width`.
        """
        raise NotImplementedError


class ResidualJoin(Slot):
    """How a group of branches joins the residual stream. Builds a module `(x, branches) -> x`."""

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """Return the module. Its `forward` takes the stream and a callable that returns the sum of
        the group's branches.
        """


class Final(Slot):
    """The layer between the last block and the output head. Builds a module that maps `(batch,
    time, width)` to the same shape.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """Return the module."""


class Head(Slot):
    """The output head. Builds a module that maps the embedding weight to the output weight `(vocab,
    width)`.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """Return the module."""


@dataclass(frozen=True)
class ByLayer:
    """Values that alternate over the layers: layer i gets `options[i % len(options)]`."""

    options: tuple[Any, ...]

    def __init__(self, *options: Any) -> None:
        object.__setattr__(self, "options", options)


@dataclass(frozen=True)
class Architecture:
    """A complete decoder architecture. Every field is a path that plugins may write; the base
    values (`ablab.arch.composition.base.BASE`) are those of GPT-1.
    """

    dims: Dims
    position: Position
    wiring: tuple[tuple[str, ...], ...]
    join: ResidualJoin
    norm: Norm
    mixer: Branch
    mlp: Branch
    final: Final
    head: Head
    init: Init
    logits: Logits
    bias: bool = True
    dropout: float = 0.0
    vocab_multiple: int = 1

    @property
    def table_vocab(self) -> int:
        """Number of rows of the embedding table: the vocabulary padded to a multiple of
        `vocab_multiple`.
        """
        return -(-self.dims.vocab // self.vocab_multiple) * self.vocab_multiple

    def site(self, layer: int | None = None) -> BuildContext:
        """Return the build context of block `layer`, with every `ByLayer` resolved. None is the
        context outside the blocks, with the values of the last block.
        """
        return BuildContext(at_layer(self, self.dims.layers - 1 if layer is None else layer), layer)


def at_layer(value: T, layer: int) -> T:
    """Return `value` with every `ByLayer` in it replaced by its value for `layer`."""
    if isinstance(value, ByLayer):
        return at_layer(value.options[layer % len(value.options)], layer)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    new = {name: at_layer(v, layer) for name, v in old.items()}
    changed = {name: v for name, v in new.items() if v is not old[name]}
    return replace(value, **changed) if changed else value
