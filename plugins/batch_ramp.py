"""Batch-size ramp (GPT-3)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, RampSlot, plugin


@dataclass(frozen=True)
class LinearRamp(RampSlot):
    """A linear increase from `start` of the full batch to the full batch, over the first `over` of
    the budget.
    """

    start: float
    over: float

    def fraction(self, share: float) -> float:
        """Return start + (1 − start)·share/over, at most 1."""
        return min(1.0, self.start + (1 - self.start) * share / self.over)


@plugin(
    source=(
        "Brown et al. 2020 (GPT-3), arXiv:2005.14165, appendix B: 32k to 3.2M tokens over 4 to "
        "12 of 300 billion"
    )
)
class BatchRamp:
    """Batch-size ramp: from `start` of the full batch, increasing linearly over the first `share`
    of the budget.

    Batches are whole sequences, rounded down, at least one. An arm with a ramp takes more and
    smaller steps for the same tokens; under a budget of steps it sees fewer tokens.
    """

    start: Annotated[float, Field(gt=0, lt=1)] = 0.01
    share: Annotated[float, Field(gt=0, le=1)] = 0.04

    def edit(self) -> Edit:
        """Return an edit that sets the ramp."""
        return {"recipe.ramp": LinearRamp(self.start, self.share)}
