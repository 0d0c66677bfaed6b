"""Layers of the base decoder and building blocks shared by plugins."""

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
    """Layer normalisation, with a bias if the architecture has biases."""

    eps: float = 1e-5

    def build(self, site: BuildContext, width: int) -> nn.Module:
        """Return a module that normalises `(..., width)`."""
        return LayerNormModule(width, self.eps, site.arch.bias)


class _RmsNorm(nn.RMSNorm):
    roles = {"weight": Role(Kind.GAIN)}  # noqa: RUF012


@dataclass(frozen=True)
class RmsNorm(Norm):
    """Root mean square normalisation, x / sqrt(mean(x²) + eps) × gain, without centring or bias
    (Zhang & Sennrich 2019, arXiv:1910.07467).
    """

    eps: float = 1e-5

    def build(self, site: BuildContext, width: int) -> nn.Module:
        """Return a module that normalises `(..., width)`."""
        return _RmsNorm(width, eps=self.eps)


@dataclass(frozen=True)
class NoNorm(Norm):
    """No normalisation."""

    def build(self, site: BuildContext, width: int) -> nn.Module:
        """Return the identity."""
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
        """Return a module that adds a learned table `(context, width)`."""
        return _Learned(site.dims.context, site.dims.width)


class _Unplaced(nn.Module):
    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x


@dataclass(frozen=True)
class NoPosition(Position):
    """No position information is added to the embedding."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the identity."""
        return _Unplaced()


class _PostNorm(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, branches: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(x + branches(x))


@dataclass(frozen=True)
class PostNorm(ResidualJoin):
    """Post-norm residual connection, norm(x + f(x)) (Vaswani et al. 2017, section 3.1)."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the norm and the sum."""
        return _PostNorm(site.arch.norm.build(site, site.dims.width))


@dataclass(frozen=True)
class Gelu(Activation):
    """GELU in its tanh approximation, as used by GPT-1 and GPT-2 (Hendrycks & Gimpel 2016,
    arXiv:1606.08415).
    """

    def build(self) -> nn.Module:
        """Return the activation module."""
        return nn.GELU(approximate="tanh")


def ff_width(width: int, factor: float, multiple: int) -> int:
    """Return the feed-forward width: factor × width, rounded up to a multiple of min(multiple,
    width / 16).
    """
    step = max(1, min(multiple, width // 16))
    return step * ceil(round(factor * width, 6) / step)


class _Plain(nn.Module):
    def __init__(self, site: BuildContext, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        width = site.dims.width
        bias = site.arch.bias
        self.up = Linear((width, hidden), Parallel.COLUMN, bias)
        self.activation = activation
        self.down = Linear((hidden, width), Parallel.ROW, bias, writes_stream=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))

    def split(self, ranks: Ranks) -> None:
        split_linears(self, ranks)


@dataclass(frozen=True)
class PlainMlp(Branch):
    """Feed-forward down(activation(up(x))) with `factor` × width hidden units (Vaswani et al. 2017,
    section 3.3).
    """

    activation: Activation = Gelu()
    factor: float = 4.0

    def build(self, site: BuildContext) -> nn.Module:
        """Return the two projections and the activation."""
        return _Plain(site, self.hidden_width(site.dims.width), self.activation.build())

    def hidden_width(self, width: int) -> int:
        """Return `factor` × width, rounded up."""
        return ff_width(width, self.factor, 1)

    def resized(self, hidden: int, width: int) -> "PlainMlp":
        """Return the same feed-forward with exactly `hidden` hidden units."""
        return replace(self, factor=hidden / width)


class _Gated(nn.Module):
    def __init__(self, site: BuildContext, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        width = site.dims.width
        bias = site.arch.bias
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
    """Gated feed-forward down(activation(gate(x)) * up(x)) with `ff_width(width, factor, multiple)`
    hidden units (Shazeer 2020, arXiv:2002.05202).
    """

    activation: Activation
    factor: float
    multiple: int

    def build(self, site: BuildContext) -> nn.Module:
        """Return the three projections and the activation; gate and up run as one matmul."""
        return _Gated(site, self.hidden_width(site.dims.width), self.activation.build())

    def hidden_width(self, width: int) -> int:
        """Return `ff_width(width, factor, multiple)`."""
        return ff_width(width, self.factor, self.multiple)

    def resized(self, hidden: int, width: int) -> "GatedMlp":
        """Return the same feed-forward with exactly `hidden` hidden units."""
        return replace(self, factor=hidden / width, multiple=1)


@dataclass(frozen=True)
class NoFinal(Final):
    """Nothing between the last block and the output head."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the identity."""
        return nn.Identity()


@dataclass(frozen=True)
class FinalNorm(Final):
    """An additional norm after the last block."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the architecture's norm."""
        return site.arch.norm.build(site, site.dims.width)


@dataclass(frozen=True)
class Normal(InitStd):
    """The same standard deviation for every weight."""

    value: float = 0.02

    def std(self, shape: tuple[int, ...]) -> float:
        """Return `value` for every shape."""
        return self.value


@dataclass(frozen=True)
class Unscaled(ResidualInitScale):
    """Weights that write to the residual stream are initialised like all others."""

    def factor(self, branches: int) -> float:
        """Return 1 for every depth."""
        return 1.0


@dataclass(frozen=True)
class NoLogitScale(LogitScale):
    """Unscaled logits."""

    def factor(self, width: int) -> float:
        """Return 1 for every width."""
        return 1.0
