"""Feed-forward branches, plain and gated."""

from dataclasses import dataclass, replace
from math import ceil

from torch import Tensor, nn

from ablab.arch.modules.linear import Linear, fused, split_linears
from ablab.arch.modules.ranks import Ranks
from ablab.arch.roles import Parallel
from ablab.arch.slots import Activation
from ablab.arch.value import Branch, BuildContext


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
