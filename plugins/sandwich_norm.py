"""Sandwich norm (CogView)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ablab.plugin import BuildContext, Edit, FinalNorm, ResidualJoin, plugin


class _Sandwich(nn.Module):
    def __init__(self, before: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.norm, self.after = before, after

    def forward(self, x: Tensor, branches: Callable[[Tensor], Tensor]) -> Tensor:
        return x + self.after(branches(self.norm(x)))


@dataclass(frozen=True)
class Sandwich(ResidualJoin):
    """x + norm(f(norm(x)))."""

    def build(self, site: BuildContext) -> nn.Module:
        """Both norms and the sum."""
        before, after = (site.arch.norm.build(site, site.dims.width) for _ in range(2))
        return _Sandwich(before, after)


@plugin(source="Ding et al. 2021 (CogView), arXiv:2105.13290, section 2.3")
class SandwichNorm:
    """Sandwich norm: a norm before each branch and another behind it, and once more after the last
    block.
    """

    def edit(self) -> Edit:
        """Writes the join and the final norm."""
        return {"join": Sandwich(), "final": FinalNorm()}
