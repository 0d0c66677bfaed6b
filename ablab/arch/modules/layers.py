"""Norms, positions, joins and neutral slot values of the base decoder and of plugins."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ablab.arch.modules.linear import Embedding
from ablab.arch.roles import Kind, Parallel, Role
from ablab.arch.slots import InitStd, LogitScale, ResidualInitScale
from ablab.arch.value import BuildContext, Final, Norm, Position, ResidualJoin


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
