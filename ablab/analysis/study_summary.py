"""The figures of a study, as every report shows them."""

import math
from dataclasses import dataclass
from typing import Any

from ablab.analysis.across_parts import Across
from ablab.analysis.summary import PartSummary, Progress
from ablab.records.study_content import Sources, StudyContent


@dataclass(frozen=True)
class StudySummary:
    """The figures of a study."""

    content: StudyContent
    """Content of the study's record."""
    progress: Progress
    """The runs of all parts; a run of several parts counts once."""
    parts: list[PartSummary]
    """Figures of its parts, one at least."""
    across: Across | None
    """Comparison across the parts; None where there is only one."""
    overhead: float | None
    """Share of the time not spent in training steps or validation."""
    wall_seconds: float | None
    """Time of all executions."""
    workers: int | None
    """Runs trained at the same time in the last execution."""

    @property
    def study(self) -> str:
        """Name of the study in its home."""
        return self.content.name

    @property
    def revision(self) -> str:
        """Revision of the study."""
        return self.content.revision

    @property
    def question(self) -> str:
        """The question that the study answers."""
        return self.content.study.question

    @property
    def sources(self) -> Sources:
        """Where it was run, and from what."""
        return self.content.sources

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types; figures that are not finite are null."""
        content = {
            "study": self.study,
            "revision": self.revision,
            "numerics": self.sources.numerics,
            "question": self.question,
            "runs": self.progress.runs,
            "finished": self.progress.finished,
            "failed": dict(self.progress.failed),
            "devices": self.progress.devices,
            "overhead": self.overhead,
            "wall_seconds": self.wall_seconds,
            "workers": self.workers,
            "parts": [part.as_json() for part in self.parts],
            "across": self.across.as_json() if self.across else None,
        }
        return _finite(content)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
