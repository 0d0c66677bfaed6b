"""The base class of slot values, and the slots that are built without a `BuildContext`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn


class Slot(ABC):
    """Base class of slot values: frozen dataclasses that build a part of the model."""


@dataclass(frozen=True)
class Scores:
    """What an attention pattern is built from: numbers of query and kv heads, the score bias
    module, and the dropout of attention weights.
    """

    heads: int
    kv_heads: int
    bias: nn.Module | None = None
    dropout: float = 0.0


class Pattern(Slot):
    """Which keys a query attends to. Builds an `ablab.arch.modules.attend.Attend`."""

    @abstractmethod
    def build(self, scores: Scores) -> nn.Module:
        """Return the module that maps q `(batch, heads, time, head_dim)` and k, v `(batch,
        kv_heads, time, head_dim)` to the shape of q.

        Raises UserError if the pattern does not support these heads.
        """


class Activation(Slot):
    """An elementwise nonlinearity."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the module."""


class LogitScale(Slot):
    """A factor on the logits."""

    @abstractmethod
    def factor(self, width: int) -> float:
        """Return the factor for a stream of `width`."""


@dataclass(frozen=True)
class Logits:
    """Transformations of the logits: a factor, and a bound `softcap` · tanh(logits / `softcap`)
    (None for no bound).
    """

    scale: LogitScale
    softcap: float | None = None


class InitStd(Slot):
    """The standard deviation of a weight's initial values."""

    @abstractmethod
    def std(self, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for a weight of `shape` (out, in)."""

    def position_std(self, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for an embedding table that is not over the vocabulary, of
        `shape` (entries, width): learned positions. By default it is `std(shape)`.
        """
        return self.std(shape)


class ResidualInitScale(Slot):
    """A factor on the initial values of weights that write to the residual stream."""

    @abstractmethod
    def factor(self, branches: int) -> float:
        """Return the factor for a model with `branches` residual branches (two per block in the
        base decoder).
        """


@dataclass(frozen=True)
class Init:
    """Initialisation: standard deviations of matrices and embeddings (normal, mean 0), and the
    scale of weights that write to the residual stream.
    """

    matrix: InitStd
    embedding: InitStd
    residual: ResidualInitScale
