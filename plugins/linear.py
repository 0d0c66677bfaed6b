"""Linear decay of the learning rate."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, ScheduleSlot, plugin


@dataclass(frozen=True)
class LinearDecay(ScheduleSlot):
    """A straight line from 1 down to `floor`."""

    floor: float

    def factor(self, share: float) -> float:
        """Return 1 − (1 − floor)·share."""
        return 1 - (1 - self.floor) * share


@plugin(source="Devlin et al. 2019 (BERT), arXiv:1810.04805, appendix A.2")
class Linear:
    """Linear decay of the learning rate from its peak to `floor` of it."""

    floor: Annotated[float, Field(ge=0, le=1)] = 0.0

    def edit(self) -> Edit:
        """Return an edit that sets the schedule."""
        return {"recipe.schedule": LinearDecay(self.floor)}
