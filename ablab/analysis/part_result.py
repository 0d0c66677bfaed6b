"""The results of one part of a study, as the comparison across parts needs them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablab.analysis.result_table import ResultTable
from ablab.analysis.summary import PartSummary


@dataclass(frozen=True)
class PartResult:
    """Values and compute of a part's arms. Arms that diverged are left out."""

    label: str
    """Name of the part."""
    baseline: str
    """Arm that the others are compared with."""
    compute: float
    """Training FLOPs of one run of the baseline."""
    cells: Mapping[tuple[str, int], float]
    """Values of the metric by arm and seed."""
    flops: Mapping[str, float]
    """Training FLOPs of a run of each arm; 0 where the clock decides and no run is finished."""
    first: Mapping[str, str] = field(default_factory=dict)
    """By arm, the first arm of equal value."""

    @classmethod
    def of(cls, part: PartSummary, table: ResultTable) -> "PartResult":
        """Return the results of a part from its summary and its table."""
        flops = {arm.name: arm.flops or 0.0 for arm in part.arms}
        cells = table.values(part.metric, equal_arms=True)
        return cls(part.label, part.baseline, flops[part.baseline], cells, flops, table.first)

    @property
    def distinct(self) -> dict[tuple[str, int], float]:
        """The values of the first of equal arms: the same run counts once."""
        return {
            (arm, seed): value
            for (arm, seed), value in self.cells.items()
            if self.first.get(arm, arm) == arm
        }
