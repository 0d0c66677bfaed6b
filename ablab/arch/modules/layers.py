"""The parts of the base decoder, and the building blocks that plugins share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from torch import Tensor, nn

from ablab.arch.modules.linear import Embedding, Linear, fused, split_linears
from ablab.arch.modules.ranks import Ranks
from ablab.arch.roles import Kind, Parallel, Role
from ablab.arch.value import (
    Activation,
    Branch,
    BuildContext,
    Final,
    InitStd,
    LogitScale,
    Norm,
    Position,
    ResidualInitScale,
    ResidualJoin,
)


class LayerNormModule(nn.LayerNorm):
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450)."""

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__(width, eps=eps, bias=bias)
        self.roles = {"weight": Role(Kind.GAIN), "bias": Role(Kind.BIAS)}


@dataclass(frozen=True)
class LayerNorm(Norm):
    """Layer normalisation, with a bias where the architecture has biases."""

    eps: float = 1e-5

    def build(self, site: BuildContext, width: int) -> nn.Module:
        """A module that normalises (..., width)."""
        return LayerNormModule(width, self.eps, site.arch.bias)


class _RmsNorm(nn.RMSNorm):
    roles = {"weight": Role(Kind.GAIN)}  # noqa: RUF012


@dataclass(frozen=True)
class RmsNorm(Norm):
    """x / sqrt(mean(x²) + eps) times a gain: no mean is taken off, no bias is added (Zhang &
    Sennrich 2019).
    """

    eps: float = 1e-5

    def build(self, site: BuildContext, width: int) -> nn.Module:
        """A module that normalises (..., width)."""
        return _RmsNorm(width, eps=self.eps)


@dataclass(frozen=True)
class NoNorm(Norm):
    """Nothing is normalised."""

    def build(self, site: BuildContext, width: int) -> nn.Module:
        """The identity."""
        return nn.Identity()


class _Learned(nn.Module):
    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.table = Embedding(context, width, Parallel.REPLICATED)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x + self.table.weight[start : start + x.shape[1]]


@dataclass(frozen=True)
class LearnedPosition(Position):
    """A learned vector for each position, added to the embedding (Radford et al. 2018)."""

    def build(self, site: BuildContext) -> nn.Module:
        """The table (context, width) and its addition."""
        return _Learned(site.dims.context, site.dims.width)


class _Unplaced(nn.Module):
    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x


@dataclass(frozen=True)
class NoPosition(Position):
    """Nothing is added to the embedding."""

    def build(self, site: BuildContext) -> nn.Module:
        """The identity."""
        return _Unplaced()


class _PostNorm(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, branches: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(x + branches(x))


@dataclass(frozen=True)
class PostNorm(ResidualJoin):
    """norm(x + f(x)) (Vaswani et al. 2017, section 3.1)."""

    def build(self, site: BuildContext) -> nn.Module:
        """The norm and the sum."""
        return _PostNorm(site.arch.norm.build(site, site.dims.width))


@dataclass(frozen=True)
class Gelu(Activation):
    """GELU in its tanh form, as GPT-1 and GPT-2 use it (Hendrycks & Gimpel 2016,
    arXiv:1606.08415).
    """

    def build(self) -> nn.Module:
        """The module."""
        return nn.GELU(approximate="tanh")


def ff_width(width: int, factor: float, multiple: int) -> int:
    """The feed-forward width: factor × width, rounded up to a multiple of min(multiple, width /
    16).
    """
    step = max(1, min(multiple, width // 16))
    return step * ceil(round(factor * width, 6) / step)


class _Plain(nn.Module):
    def __init__(self, site: BuildContext, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        width, bias = site.dims.width, site.arch.bias
        self.up = Linear((width, hidden), Parallel.COLUMN, bias)
        self.activation = activation
        self.down = Linear((hidden, width), Parallel.ROW, bias, writes_stream=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))

    def split(self, ranks: Ranks) -> None:
        split_linears(self, ranks)


@dataclass(frozen=True)
class PlainMlp(Branch):
    """down(activation(up(x))), `factor` × width wide (Vaswani et al. 2017, section 3.3)."""

    activation: Activation = Gelu()
    factor: float = 4.0

    def build(self, site: BuildContext) -> nn.Module:
        """The two projections."""
        return _Plain(site, self.hidden_width(site.dims.width), self.activation.build())

    def hidden_width(self, width: int) -> int:
        """`factor` × width, rounded up."""
        return ff_width(width, self.factor, 1)

    def resized(self, hidden: int, width: int) -> "PlainMlp":
        """Exactly `hidden` wide."""
        return replace(self, factor=hidden / width)


class _Gated(nn.Module):
    def __init__(self, site: BuildContext, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        width, bias = site.dims.width, site.arch.bias
        self.gate = Linear((width, hidden), Parallel.COLUMN, bias)
        self.up = Linear((width, hidden), Parallel.COLUMN, bias)
        self.activation = activation
        self.down = Linear((hidden, width), Parallel.ROW, bias, writes_stream=True)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = fused(x, self.gate, self.up)
        return self.down(self.activation(gate) * up)

    def split(self, ranks: Ranks) -> None:
        split_linears(self, ranks)


@dataclass(frozen=True)
class GatedMlp(Branch):
    """down(activation(gate(x)) * up(x)) (Shazeer 2020, arXiv:2002.05202); its width is
    `ff_width(width, factor, multiple)`.
    """

    activation: Activation
    factor: float
    multiple: int

    def build(self, site: BuildContext) -> nn.Module:
        """The three projections; gate and up run as one matmul."""
        return _Gated(site, self.hidden_width(site.dims.width), self.activation.build())

    def hidden_width(self, width: int) -> int:
        """`ff_width(width, factor, multiple)`."""
        return ff_width(width, self.factor, self.multiple)

    def resized(self, hidden: int, width: int) -> "GatedMlp":
        """Exactly `hidden` wide."""
        return replace(self, factor=hidden / width, multiple=1)


@dataclass(frozen=True)
class NoFinal(Final):
    """Nothing between the last block and the head."""

    def build(self, site: BuildContext) -> nn.Module:
        """The identity."""
        return nn.Identity()


@dataclass(frozen=True)
class FinalNorm(Final):
    """One more norm after the last block."""

    def build(self, site: BuildContext) -> nn.Module:
        """The architecture's norm."""
        return site.arch.norm.build(site, site.dims.width)


@dataclass(frozen=True)
class Normal(InitStd):
    """The same standard deviation for every weight."""

    value: float = 0.02

    def std(self, shape: tuple[int, ...]) -> float:
        """`value`, whatever the shape."""
        return self.value


@dataclass(frozen=True)
class Unscaled(ResidualInitScale):
    """Weights that write to the stream start like all others."""

    def factor(self, branches: int) -> float:
        """1, whatever the depth."""
        return 1.0


@dataclass(frozen=True)
class NoLogitScale(LogitScale):
    """Logits as they are."""

    def factor(self, width: int) -> float:
        """1, whatever the width."""
        return 1.0
