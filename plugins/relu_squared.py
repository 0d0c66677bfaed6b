"""Squared ReLU feed-forward (Primer)."""

from dataclasses import dataclass

from torch import Tensor, nn

from ablab.plugin import Activation, Edit, plugin


class _SquaredRelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu().square()


@dataclass(frozen=True)
class SquaredRectified(Activation):
    """max(x, 0)²."""

    def build(self) -> nn.Module:
        """Return the module."""
        return _SquaredRelu()


@plugin(source="So et al. 2021 (Primer), arXiv:2109.08668, section 4.1")
class ReluSquared:
    """Squared ReLU instead of GELU in the feed-forward."""

    def edit(self) -> Edit:
        """Return an edit that sets the feed-forward's activation."""
        return {"mlp.activation": SquaredRectified()}
