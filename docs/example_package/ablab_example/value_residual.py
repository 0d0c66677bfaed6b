"""A value carried across layers: the first layer's values are mixed into all others'."""

from dataclasses import dataclass

from torch import Tensor, nn

from ablab.plugin import Attention, BuildContext, Edit, ForwardContext, SelfAttention, plugin


class _ValueResidual(SelfAttention):
    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """Map x `(batch, time, width)` to the same shape."""
        flow = flow or ForwardContext()
        q, k, v = self.project(x)
        first = flow.carry.setdefault("value_residual/first", v)
        return self.mix((q, k, (v + first) / 2), flow)


@dataclass(frozen=True)
class ValueResidualAttention(Attention):
    """Self-attention over the mean of this layer's values and the first's."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the module for this layer."""
        return _ValueResidual(self, site)


@plugin(source="Zhou et al. 2024, arXiv:2410.17897, section 3")
class ValueResidual:
    """Value residual: each layer attends over the mean of its own values and the first layer's."""

    def edit(self) -> Edit:
        """Replace the mixer."""
        return {"mixer": ValueResidualAttention()}
