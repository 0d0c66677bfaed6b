"""The effect of a change on a cost, as a ratio.

Ratios come from contrasts of logarithms, each with its own error term.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table
from ablab.stats.two_way import Cells


@dataclass(frozen=True)
class Ratio:
    """The cost with a change divided by the cost without it, and its 95 % interval (unadjusted).

    `value` is None if it is not estimable; with one seed there is no interval, nor for costs that
    are counted and not measured. `why` is the reason if the cost is not compared.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1, as it must for a measured cost to count as different."""
        if self.low is None or self.high is None:
            return False
        return not self.low <= 1.0 <= self.high


def ratio(costs: Mapping[str, float | None], weights: Mapping[str, float]) -> Ratio:
    """Return exp(Σ weight × log cost) for costs by arm that have no error.

    The weights sum to zero. The ratio is not estimable if the cost of an arm with nonzero weight is
    missing or not positive.
    """
    total = 0.0
    for arm, weight in weights.items():
        if not weight:
            continue
        cost = costs.get(arm)
        if cost is None or not cost > 0:
            return Ratio(None)
        total += weight * log(cost)
    return Ratio(exp(total))


def log_table(cells: Cells) -> Table | None:
    """Return the table of the logarithms of a cost by (arm, seed).

    Arms that have a cost that is not positive (or NaN) are omitted; None if no arm remains.
    """
    invalid = {arm for (arm, _), cost in cells.items() if not cost > 0}
    logs = {(arm, seed): log(cost) for (arm, seed), cost in cells.items() if arm not in invalid}
    return Table.of(logs) if logs else None


def measured_ratio(
    logs: Table | None,
    weights: Mapping[str, float],
    parts: Sequence[Mapping[str, float]] = (),
) -> Ratio:
    """Return the ratio of the geometric means over seeds of a measured cost, from its `log_table`.

    For `parts` see `ablab.stats.effects.Question`.
    """
    if logs is None:
        return Ratio(None)
    result = effect_of(logs, weights, parts)
    value, low, high = (
        None if bound is None else exp(bound)
        for bound in (result.estimate, result.low, result.high)
    )
    return Ratio(value, low, high)
