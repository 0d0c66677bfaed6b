"""Figures of the report, drawn with matplotlib as inline SVG and as files.

The only package that imports `matplotlib`.
"""

from dataclasses import dataclass, replace
from typing import Any

from ablab.analysis.summary import PartSummary
from ablab.report.evidence import Evidence
from ablab.report.figures.bowls import bowls, no_bowl, single_bowls
from ablab.report.figures.canvas import Plot
from ablab.report.figures.forest import forest
from ablab.report.figures.front import fronts
from ablab.report.figures.interactions import interactions
from ablab.report.figures.losses import losses
from ablab.report.figures.waterfall import waterfall

__all__ = ["Figures", "Plot", "figures_of"]


@dataclass(frozen=True)
class Figures:
    """A study's figures; None or empty where it has nothing for one. `bowls`: all in one;
    `each_bowl`: an arm each; `no_bowl`: why a tuned study has none.
    """

    forest: Plot | None
    waterfall: Plot | None
    losses: Plot | None
    interactions: Plot | None
    bowls: Plot | None
    each_bowl: list[Plot]
    fronts: list[Plot]
    no_bowl: str = ""

    def named(self, prefix: str) -> "Figures":
        """The same under names of their own, beside those of other parts."""

        def named(plot: Plot | None) -> Any:
            return None if plot is None else replace(plot, name=f"{prefix}-{plot.name}")

        return Figures(
            named(self.forest),
            named(self.waterfall),
            named(self.losses),
            named(self.interactions),
            named(self.bowls),
            [named(plot) for plot in self.each_bowl],
            [named(plot) for plot in self.fronts],
            self.no_bowl,
        )

    @property
    def files(self) -> list[Plot]:
        """Those that are worth a file of their own, in the order of the page."""
        single = (self.forest, self.waterfall, self.losses, self.interactions, self.bowls)
        return [*(plot for plot in single if plot is not None), *self.fronts]


def figures_of(summary: PartSummary, evidence: Evidence) -> Figures:
    """Draws all figures that the study has the results for."""
    return Figures(
        forest(summary),
        waterfall(evidence.steps, summary.metric),
        losses(evidence.curves),
        interactions(summary),
        bowls(summary),
        single_bowls(summary),
        fronts(summary),
        no_bowl(summary),
    )
