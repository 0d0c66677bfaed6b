"""The effect of a change, as reports show it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ablab.analysis.dependences import FactorDependence
from ablab.stats.costs import Ratio
from ablab.stats.effects import Effect
from ablab.stats.inference.influence import Turn
from ablab.stats.inference.verdicts import Verdict


@dataclass(frozen=True)
class RecipeEffect:
    """An effect where every arm is trained with a recipe of one kind."""

    effect: Effect
    """Estimate, interval and p."""
    p_holm: float | None
    """Adjusted p."""
    verdict: Verdict | None
    """Verdict; None where it is not known."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self.effect), "p_holm": self.p_holm, "verdict": self.verdict}


@dataclass(frozen=True)
class RecipeComparison:
    """An effect with one recipe for all arms and with the best of each, on the same seeds."""

    seeds: int
    """Number of seeds of each arm."""
    one: RecipeEffect
    """The effect with one recipe for all arms."""
    own: RecipeEffect
    """The effect with the best recipe of each arm."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"seeds": self.seeds, "one": self.one.as_json(), "own": self.own.as_json()}


@dataclass(frozen=True)
class EffectSummary:
    """The effect of a change on the metric: the mean with the change minus the mean without it."""

    name: str
    """The change, the pair of changes of an interaction, or the whole."""
    kind: str
    """`change`, `interaction` or `total`."""
    estimate: float | None
    """Estimate in the metric's units; None where it cannot be estimated."""
    low: float | None
    """Lower end of the 95 % interval, unadjusted for the number of effects."""
    high: float | None
    """Upper end."""
    p: float | None
    """Two-sided p."""
    sampling_se: float | None = None
    """Standard error from drawing a part of the orders; see `ablab.stats.effects.Effect`."""
    p_holm: float | None = None
    """p adjusted by Holm's procedure over the changes, or over the interactions."""
    verdict: Verdict | None = None
    """Verdict; None while runs are missing, or with one seed."""
    real: bool = False
    """Whether an equivalent effect is nevertheless distinguishable from zero."""
    margin: float | None = None
    """Effects within the margin count as equivalent to zero, in the metric's units."""
    seeds: int = 0
    """Smallest number of seeds among its arms."""
    seeds_needed: int | None = None
    """Seeds that would settle an inconclusive effect."""
    paired: Effect | None = None
    """The effect with its own error term alone, from its values by seed: a paired t test for two
    arms.
    """
    turns: tuple[Turn, ...] = ()
    """Seeds without which the verdict would be another."""
    dependences: tuple[FactorDependence, ...] = ()
    """How it depends on each nuisance factor."""
    missing: bool = False
    """Whether some runs of its arms are not finished."""
    unpaired: bool = False
    """Whether its arms have different seeds."""
    shared: RecipeComparison | None = None
    """The effect with one recipe for all arms, if there are such runs."""
    aliases: tuple[str, ...] = ()
    """Effects that the arms cannot distinguish from it."""
    document_error: float | None = None
    """Standard error over held-out documents, which no interval includes; None where it is not
    known.
    """
    documents: int | None = None
    """Number of these documents."""
    costs: Mapping[str, float | None] = field(default_factory=dict)
    """By cost, the cost with the change divided by the cost without it."""
    cost_intervals: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    """95 % intervals of the costs that were timed."""
    cost_reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a cost is not compared."""

    @property
    def title(self) -> str:
        """The name with the aliases."""
        return f"{self.name} (= {' = '.join(self.aliases)})" if self.aliases else self.name

    @property
    def size(self) -> float:
        """Absolute value of the estimate; −1 without one."""
        return -1.0 if self.estimate is None else abs(self.estimate)

    @property
    def moderated(self) -> bool:
        """Whether the interval differs from that of the effect's own error term."""
        if self.paired is None or None in (self.paired.low, self.paired.high, self.low, self.high):
            return False
        ends = (self.low, self.high), (self.paired.low, self.paired.high)
        return not np.allclose(*np.array(ends, float), rtol=1e-6, atol=0)

    @property
    def ratios(self) -> dict[str, Ratio]:
        """Ratios by cost with their intervals, or why there are none."""
        ratios = {}
        for name, value in self.costs.items():
            low, high = self.cost_intervals.get(name) or (None, None)
            ratios[name] = Ratio(value, low, high, self.cost_reasons.get(name, ""))
        return ratios

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        recipes = self.shared.as_json() if self.shared is not None else None
        return {**asdict(self), "shared": recipes}
