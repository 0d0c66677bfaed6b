"""Scaled initialisation of residual projections (GPT-2)."""

from dataclasses import dataclass
from math import sqrt

from ablab.plugin import Edit, ResidualInitScale, plugin


@dataclass(frozen=True)
class InverseRoot(ResidualInitScale):
    """1/sqrt(N), where N is the number of residual branches."""

    def factor(self, branches: int) -> float:
        """Return the factor for a model with `branches` residual branches."""
        return 1 / sqrt(branches)


@plugin(source="Radford et al. 2019 (GPT-2), section 2.3")
class ScaledInit:
    """Scaled init: initial weights that write to the residual stream are multiplied by 1/sqrt(N),
    where N is the number of residual branches.
    """

    def edit(self) -> Edit:
        """Return an edit that sets the residual scale of the init."""
        return {"init.residual": InverseRoot()}
