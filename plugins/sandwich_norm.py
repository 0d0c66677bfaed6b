"""Sandwich norm (CogView)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ablab.plugin import BuildContext, Edit, FinalNorm, ResidualJoin, plugin


class _Sandwich(nn.Module):
    def __init__(self, before: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.norm = before
        self.after = after

    def forward(self, x: Tensor, branches: Callable[[Tensor], Tensor]) -> Tensor:
        return x + self.after(branches(self.norm(x)))


@dataclass(frozen=True)
class Sandwich(ResidualJoin):
    """x + norm(f(norm(x)))."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return both norms and the sum."""
        before, after = (site.arch.norm.build(site, site.dims.width) for _ in range(2))
        return _Sandwich(before, after)


@plugin(source="Ding et al. 2021 (CogView), arXiv:2105.13290, section 2.3")
class SandwichNorm:
    """Sandwich norm: a norm before and after each branch, and another after the last block."""

    def edit(self) -> Edit:
        """Return an edit that sets the join and the final norm."""
        return {"join": Sandwich(), "final": FinalNorm()}
