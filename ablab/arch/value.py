"""The architecture as a frozen value: sizes, and one slot for each decision that a change may
write.

A *slot* holds a frozen dataclass that knows how to build its part of the model. Slots never read
each other when they are written; whatever depends on another slot is worked out when the model is
built, from the `BuildContext` that `build` gets.
"""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Dims:
    """Sizes. `width` is the residual stream's; `head_dim` is its own dimension (None: width /
    heads).
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    head_dim: int | None = None
    vocab: int = 40478
    context: int = 512

    @property
    def head_width(self) -> int:
        """The head dimension, in use."""
        return self.width // self.heads if self.head_dim is None else self.head_dim


@dataclass(frozen=True)
class BuildContext:
    """Where a part is being built: the whole architecture (this layer's values), and the layer's
    index or None.
    """

    arch: "Architecture"
    layer: int | None = None

    @property
    def dims(self) -> Dims:
        """The sizes in force here."""
        return self.arch.dims


class Slot(ABC):
    """A value that a slot may hold: a frozen dataclass that builds its part of the model."""


class Position(Slot):
    """How positions enter the stream. Builds a module (x (batch, time, width), start) -> the same
    shape.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """The module that adds positions to the embedded tokens; the first of them stands at
        position `start`.
        """


class Rotate(Slot):
    """A rotation of queries and keys. Builds a module (q, k, start) -> (q, k), each (batch, heads,
    time, head_dim).
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """The module that turns queries and keys; the first of them stands at position `start`."""


class ScoreBias(Slot):
    """An addition to the attention scores that depends on the distance from key to query."""

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module | None:
        """A module: distances (...), query's position less key's -> (heads, ...); None where
        nothing is added.
        """


@dataclass(frozen=True)
class Scores:
    """What a pattern is built from: the heads of queries and of keys, the score bias's module, the
    dropout of weights.
    """

    heads: int
    kv_heads: int
    bias: nn.Module | None = None
    dropout: float = 0.0


class Pattern(Slot):
    """Which keys a query sees. Builds an `ablab.arch.modules.attend.Attend`."""

    @abstractmethod
    def build(self, scores: Scores) -> nn.Module:
        """The module that attends: (q, k, v) -> y, each (batch, heads, time, head_dim). Raises
        UserError if heads don't fit.
        """


class Norm(Slot):
    """A normalisation over the last dimension."""

    @abstractmethod
    def build(self, site: BuildContext, width: int) -> nn.Module:
        """A module that normalises (..., width)."""


class Activation(Slot):
    """An elementwise non-linearity."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The module."""


class Branch(Slot):
    """A branch of a block (mixer or mlp): a module (batch, time, width) -> (batch, time, width)."""

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """The branch's module."""

    def hidden_width(self, width: int) -> int | None:
        """How wide a feed-forward is inside, in a stream of `width`; None: it cannot be made wider
        or narrower.
        """
        return None

    def resized(self, hidden: int, width: int) -> "Branch":
        """The same feed-forward, `hidden` wide inside in a stream of `width`, or as near to that as
        it can be. To be overridden together with `hidden_width`.
        """
        raise NotImplementedError


class ResidualJoin(Slot):
    """How a group of branches meets the residual stream. Builds a module (x, branches) -> x."""

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """The module; its `forward` takes the stream and a callable that sums the group's
        branches.
        """


class Final(Slot):
    """What stands between the last block and the head. Builds a module (batch, time, width) -> the
    same.
    """

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """The module."""


class Head(Slot):
    """The output projection. Builds a module: embedding weight -> weight (vocab, width)."""

    @abstractmethod
    def build(self, site: BuildContext) -> nn.Module:
        """The module."""


class LogitScale(Slot):
    """A factor on the logits."""

    @abstractmethod
    def factor(self, width: int) -> float:
        """For a stream of `width`."""


@dataclass(frozen=True)
class Logits:
    """What happens to the logits: a factor, and a bound `softcap` · tanh(logits / `softcap`) (None:
    no bound).
    """

    scale: LogitScale
    softcap: float | None = None


class InitStd(Slot):
    """The standard deviation of a weight's initial values."""

    @abstractmethod
    def std(self, shape: tuple[int, ...]) -> float:
        """For a weight of `shape` (out, in)."""


class ResidualInitScale(Slot):
    """A factor on the initial values of the weights that write to the residual stream."""

    @abstractmethod
    def factor(self, branches: int) -> float:
        """For a model with `branches` residual branches in all (2 a block in the base decoder)."""


@dataclass(frozen=True)
class Init:
    """Initial values: matrices, embeddings (normal, mean 0), and the scale of weights that write to
    the stream.
    """

    matrix: InitStd
    embedding: InitStd
    residual: ResidualInitScale


@dataclass(frozen=True)
class ByLayer:
    """Values taken in turn by the layers: layer i gets `options[i % len(options)]`."""

    options: tuple[Any, ...]

    def __init__(self, *options: Any) -> None:
        object.__setattr__(self, "options", options)


@dataclass(frozen=True)
class Architecture:
    """A decoder, whole. The base values (`ablab.arch.composition.base.BASE`) are
    GPT-1's. Every field is a path that plugins may write.
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
        """Rows of the embedding table: the vocabulary, padded to a multiple of `vocab_multiple`."""
        return -(-self.dims.vocab // self.vocab_multiple) * self.vocab_multiple

    def site(self, layer: int | None = None) -> BuildContext:
        """The site in block `layer`, or outside the blocks (None: the last one's values), with
        every `ByLayer` resolved.
        """
        return BuildContext(at_layer(self, self.dims.layers - 1 if layer is None else layer), layer)


def at_layer(value: T, layer: int) -> T:
    """`value` with every `ByLayer` in it replaced by its value for `layer`."""
    if isinstance(value, ByLayer):
        return at_layer(value.options[layer % len(value.options)], layer)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    new = {name: at_layer(v, layer) for name, v in old.items()}
    changed = {name: v for name, v in new.items() if v is not old[name]}
    return replace(value, **changed) if changed else value
