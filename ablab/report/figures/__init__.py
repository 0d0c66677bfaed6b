"""Figures of the report, drawn with matplotlib as inline SVG and as files.

The only package that imports `matplotlib`.
"""

from dataclasses import dataclass, replace

from ablab.analysis.summary import PartSummary
from ablab.report.evidence import Evidence
from ablab.report.figures.canvas import Plot
from ablab.report.figures.forest import forest
from ablab.report.figures.front import fronts
from ablab.report.figures.interactions import interactions
from ablab.report.figures.losses import losses
from ablab.report.figures.lr_sweeps import no_sweep, single_sweeps, sweeps
from ablab.report.figures.waterfall import waterfall

__all__ = ["Figures", "Plot", "figures_of"]


@dataclass(frozen=True)
class Figures:
    """The figures of a part of a study; None or empty if it has no results for one."""

    forest: Plot | None
    """Effects with their intervals."""
    waterfall: Plot | None
    """Steps from the first arm to the last."""
    losses: Plot | None
    """Loss curves."""
    interactions: Plot | None
    """Heat map of interactions."""
    sweeps: Plot | None
    """Tuning trials of all arms in one figure."""
    single_sweeps: list[Plot]
    """The same with one figure for each arm."""
    fronts: list[Plot]
    """The metric against each cost."""
    no_sweep: str = ""
    """Why a tuned study has no sweep."""

    def prefixed(self, prefix: str) -> "Figures":
        """Return the figures with a prefix to their names, to distinguish them from other parts."""

        def prefixed(plot: Plot) -> Plot:
            return replace(plot, name=f"{prefix}-{plot.name}")

        return Figures(
            forest=prefixed(self.forest) if self.forest else None,
            waterfall=prefixed(self.waterfall) if self.waterfall else None,
            losses=prefixed(self.losses) if self.losses else None,
            interactions=prefixed(self.interactions) if self.interactions else None,
            sweeps=prefixed(self.sweeps) if self.sweeps else None,
            single_sweeps=[prefixed(plot) for plot in self.single_sweeps],
            fronts=[prefixed(plot) for plot in self.fronts],
            no_sweep=self.no_sweep,
        )

    @property
    def files(self) -> list[Plot]:
        """The figures that are also written as files, in the order of the page."""
        single = (self.forest, self.waterfall, self.losses, self.interactions, self.sweeps)
        return [*(plot for plot in single if plot is not None), *self.fronts]


def figures_of(summary: PartSummary, evidence: Evidence) -> Figures:
    """Draw all figures that the part has results for."""
    return Figures(
        forest=forest(summary),
        waterfall=waterfall(evidence.steps, summary.metric),
        losses=losses(evidence.curves),
        interactions=interactions(summary),
        sweeps=sweeps(summary),
        single_sweeps=single_sweeps(summary),
        fronts=fronts(summary),
        no_sweep=no_sweep(summary),
    )
