"""A change's effect on a cost: a ratio, since costs multiply. Contrasts of log costs, with the
error term of all effects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from ablab.stats.effects import Cells, Fit, effect, fit


@dataclass(frozen=True)
class Ratio:
    """The cost with the change over that without, and its 95 % interval (unadjusted). None: not
    estimable; with one seed, or for a cost that is counted, no interval. `why`: it is not compared.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1. Of a cost that was measured, nothing else is known to
        differ.
        """
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high


def ratio(costs: Mapping[str, float | None], weights: Mapping[str, float]) -> Ratio:
    """exp(Σ weight × log cost) of costs by arm that have no error; the weights sum to zero. A
    needed cost that is missing or not positive: not estimable.
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


def log_fit(cells: Cells) -> Fit | None:
    """The two-way fit to the logarithms of a cost by (arm, seed). Arms with a cost that is not
    positive are left out; None where none is left.
    """
    unsound = {arm for (arm, _), cost in cells.items() if not cost > 0}
    logs = {(arm, seed): log(cost) for (arm, seed), cost in cells.items() if arm not in unsound}
    return fit(logs) if logs else None


def measured_ratio(
    fitted: Fit | None,
    weights: Mapping[str, float],
    level: float = 0.95,
    parts: Sequence[Mapping[str, float]] = (),
) -> Ratio:
    """The ratio of a cost that varies from run to run, from its `log_fit`: of geometric means over
    the seeds. `parts`: see `ablab.stats.effects.effect`.
    """
    if fitted is None:
        return Ratio(None)
    result = effect(fitted, weights, level, parts)
    value, low, high = (
        None if bound is None else exp(bound)
        for bound in (result.estimate, result.low, result.high)
    )
    return Ratio(value, low, high)
