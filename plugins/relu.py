"""ReLU feed-forward."""

from dataclasses import dataclass

from torch import nn

from ablab.plugin import Activation, Edit, plugin


@dataclass(frozen=True)
class Rectified(Activation):
    """max(x, 0)."""

    def build(self) -> nn.Module:
        """Return the module."""
        return nn.ReLU()


@plugin(source="Vaswani et al. 2017, arXiv:1706.03762, section 3.3")
class Relu:
    """ReLU instead of GELU in the feed-forward."""

    def edit(self) -> Edit:
        """Return an edit that sets the feed-forward's activation."""
        return {"mlp.activation": Rectified()}
