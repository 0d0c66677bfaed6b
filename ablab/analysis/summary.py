"""The results of a study and of its parts, as every report shows them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ablab.analysis.across.across_parts import Across
from ablab.analysis.arms import ArmSummary, uneven
from ablab.analysis.checks import Checks
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.time_shares import TimeShares
from ablab.analysis.trials import ArmTuning, TrialSummary
from ablab.records.study_content import PartContent, Sources, StudyContent
from ablab.text.truncate import bare, some_of
from ablab.train.result import RunResult


@dataclass(frozen=True)
class Progress:
    """Number of runs of a study or of a part of it."""

    runs: int
    """Number of runs and trials that the study has once everything is decided."""
    finished: int
    """Number of them that are finished, or trials that were pruned or failed."""
    failed: Mapping[str, str]
    """Reasons of those that failed, by key."""
    devices: list[str]
    """Devices that runs were trained on, with library versions."""

    @property
    def complete(self) -> bool:
        """Whether every run is finished."""
        return self.finished == self.runs


@dataclass(frozen=True)
class PartSummary:
    """The results of a part of a study."""

    content: PartContent
    """Content of the study's record on the part."""
    progress: Progress
    """Its runs."""
    arms: list[ArmSummary]
    """Arms in the order of the design."""
    effects: list[EffectSummary]
    """Effects in the order of the design's contrasts."""
    sd: float | None
    """Run-to-run standard deviation about arm and seed means."""
    dof: int
    """Its degrees of freedom."""
    noise_floor: float | None
    """Standard deviation of the baseline over its seeds."""
    detectable_effect: float | None
    """Smallest effect of a change that is detected with 80 % power."""
    margin: float | None
    """Effects within the margin count as equivalent to zero, in the metric's units."""
    trials: list[TrialSummary]
    """Trials of tuning or search."""
    tuning: list[ArmTuning]
    """Tuning of each arm; empty for a study that is not tuned."""
    survivors: Mapping[str, str | None]
    """Of a search whose runs are all finished: each arm with the arm that beats it, if any."""
    not_compared: Mapping[str, str]
    """By cost, why it is not compared between arms."""
    cost_notes: list[str]
    """Notes on the costs."""
    spared: int | None
    """Number of runs saved by not giving every arm the maximum of seeds; None until all is
    decided.
    """
    looks: tuple[int, ...]
    """Numbers of seeds at which more may be added; empty if their number is fixed."""
    checks: Checks = Checks()
    """Checks of what the verdicts assume."""

    @property
    def effects_by_size(self) -> list[EffectSummary]:
        """The effects of each kind together, the largest first; those without an estimate last."""
        kinds = list(dict.fromkeys(effect.kind for effect in self.effects))
        return sorted(self.effects, key=lambda effect: (kinds.index(effect.kind), -effect.size))

    @property
    def label(self) -> str:
        """Name of the part; empty where it is the only one."""
        return self.content.label

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.content.study.metric

    @property
    def objectives(self) -> list[str]:
        """Metrics and costs that a search optimises, or the metric."""
        return self.content.study.objectives

    @property
    def baseline(self) -> str:
        """Arm that effects are measured against."""
        return self.content.baseline

    @property
    def notes(self) -> list[str]:
        """Notes on the design, on the level of verdicts, and on the costs."""
        level = self.content.study.helps_level
        levels = [f"a change helps here if its p is below {level:.2g}"] if level < 0.05 else []
        return [*map(bare, self.content.notes), *levels, *self.cost_notes]

    @property
    def infeasible(self) -> dict[str, str]:
        """Combinations that were left out, with the reason."""
        return {bare(name): bare(why) for name, why in self.content.infeasible.items()}

    @property
    def shared(self) -> Mapping[str, Any] | None:
        """Options of the recipe that all arms were also trained with; None without one."""
        return self.content.shared.params if self.content.shared else None

    @property
    def spread(self) -> float | None:
        """Standard deviation that determines the digits of a mean."""
        return self.noise_floor if self.sd is None else self.sd

    @property
    def uneven(self) -> bool:
        """Whether arms have unequal seeds, so that means are adjusted."""
        return uneven(self.arms)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "part": self.label,
            "metric": self.metric,
            "objectives": self.objectives,
            "baseline": self.baseline,
            "arms": [asdict(arm) for arm in self.arms],
            "effects": [effect.as_json() for effect in self.effects_by_size],
            "infeasible": some_of(self.infeasible),
            "runs": self.progress.runs,
            "finished": self.progress.finished,
            "failed": dict(self.progress.failed),
            "devices": self.progress.devices,
            "sd": self.sd,
            "dof": self.dof,
            "noise_floor": self.noise_floor,
            "detectable_effect": self.detectable_effect,
            "margin": self.margin,
            "trials": [trial.as_json() for trial in self.trials],
            "tuning": [arm.as_json() for arm in self.tuning],
            "shared": self.shared,
            "survivors": dict(self.survivors),
            "not_compared": dict(self.not_compared),
            "notes": self.notes,
            "spared": self.spared,
            "looks": list(self.looks),
            "checks": asdict(self.checks),
        }


@dataclass(frozen=True)
class StudySummary:
    """The results of a study."""

    content: StudyContent
    """Content of the study's record."""
    progress: Progress
    """The runs of all parts; a run of several parts counts once."""
    parts: list[PartSummary]
    """Results of its parts, at least one."""
    across: Across | None
    """Comparison across the parts; None where there is only one."""
    time: TimeShares | None
    """How the workers spent their time."""
    wall_seconds: float | None
    """Time of all executions."""
    workers: int | None
    """Runs trained at the same time in the last execution."""
    results: Mapping[str, RunResult]
    """Results of the finished runs and trials, by key: all figures above follow from them."""

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
        """Machine, code and command of its last run."""
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
            "time": asdict(self.time) if self.time else None,
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
