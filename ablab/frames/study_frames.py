"""The numbers of a study in a home, as `ablab.study` returns them."""

from functools import cached_property
from typing import TYPE_CHECKING

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summarise import summarise
from ablab.analysis.summary import StudySummary
from ablab.errors import unknown
from ablab.frames.arms import arms_frame, costs_frame
from ablab.frames.curves import curves_frame
from ablab.frames.effects import effects_frame
from ablab.frames.runs import runs_frame
from ablab.records.study_record import StudyRecord
from ablab.report.evidence import excluded

if TYPE_CHECKING:
    import pandas as pd

FRAMES = ("runs", "effects", "arms", "curves", "costs")


class StudyFrames:
    """The results of a study as they are now: frames, and the objects that its report is made of.

    Every frame has its columns also where it has no rows. Figures that are not known are missing.
    """

    def __init__(self, record: StudyRecord) -> None:
        """Read a study.

        Raises:
            UserError: if it was never run in this home.

        """
        self.summary: StudySummary = summarise(record)
        self._home = record.home

    def __repr__(self) -> str:
        progress = self.summary.progress
        finished = f"{progress.finished} of {progress.runs} runs finished"
        return f"<{self.summary.study}, revision {self.summary.revision}: {finished}>"

    @cached_property
    def runs(self) -> "pd.DataFrame":
        """One row per run: settings, state, final metrics and costs. See `runs_frame`."""
        return runs_frame(self.summary, self._home.root)

    @cached_property
    def effects(self) -> "pd.DataFrame":
        """One row per effect: estimate, interval, p-values, margin, verdict and cost ratios."""
        return effects_frame(self.summary)

    @cached_property
    def arms(self) -> "pd.DataFrame":
        """One row per arm: mean, interval and standard deviation over its seeds."""
        return arms_frame(self.summary)

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """One row per run, metric and step."""
        return curves_frame(self.summary, self._home.root)

    @cached_property
    def costs(self) -> "pd.DataFrame":
        """One row per arm and cost."""
        return costs_frame(self.summary)

    @property
    def missing(self) -> list[str]:
        """What the figures leave out, and why, in words; empty if nothing."""
        return [*self._home.warnings, *excluded(self.summary)]

    def effect(self, name: str, part: str = "") -> EffectSummary:
        """Return an effect with its verdict, as the report has it.

        Args:
            name: name of the effect.
            part: label of the part of the study; the first that has the effect if empty.

        Raises:
            UserError: if there is no such effect or part.

        """
        labels = [summary.label for summary in self.summary.parts]
        if part and part not in labels:
            raise unknown("part", part, labels)
        effects = [
            effect
            for summary in self.summary.parts
            for effect in summary.effects
            if part in ("", summary.label)
        ]
        by_name = {effect.name: effect for effect in reversed(effects)}
        if name not in by_name:
            raise unknown("effect", name, by_name)
        return by_name[name]
