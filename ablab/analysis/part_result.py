"""What one part of a study came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PartResult:
    """A part's label, its baseline, the baseline's training FLOPs a run, the values by (arm, seed)
    of the arms that did not diverge, each arm's training FLOPs (0 where the clock decides and no
    run is finished), and by arm the first of equal value.
    """

    label: str
    baseline: str
    compute: float
    cells: dict[tuple[str, int], float]
    flops: dict[str, float]
    first: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[tuple[str, int], float]:
        """The values of the first of equal arms: the same run counts once."""
        return {
            (arm, seed): value
            for (arm, seed), value in self.cells.items()
            if self.first.get(arm, arm) == arm
        }
