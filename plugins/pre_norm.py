"""Pre-norm (GPT-2)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ablab.plugin import BuildContext, Edit, FinalNorm, ResidualJoin, plugin


class _PreNorm(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, branches: Callable[[Tensor], Tensor]) -> Tensor:
        return x + branches(self.norm(x))


@dataclass(frozen=True)
class Before(ResidualJoin):
    """x + f(norm(x))."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the norm and the sum."""
        return _PreNorm(site.arch.norm.build(site, site.dims.width))


@plugin(source="Radford et al. 2019 (GPT-2), section 2.3; Xiong et al. 2020, arXiv:2002.04745")
class PreNorm:
    """Pre-norm: a norm before each branch, outside the residual stream, and another after the last
    block.
    """

    def edit(self) -> Edit:
        """Return an edit that sets the join and the final norm."""
        return {"join": Before(), "final": FinalNorm()}
