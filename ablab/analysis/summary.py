"""The figures of a part of a study, as every report shows them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ablab.analysis.arms import ArmSummary, uneven
from ablab.analysis.effects import EffectSummary
from ablab.analysis.trials import ArmTuning, TrialSummary
from ablab.records.study_content import PartContent
from ablab.text.truncate import bare, some_of


@dataclass(frozen=True)
class Progress:
    """Number of runs of a study or of a part of it."""

    runs: int
    """Runs and trials once all is decided."""
    finished: int
    """Those that are settled: finished, or trials that were pruned or failed."""
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
    """The figures of a part of a study."""

    content: PartContent
    """What the study's record says of the part."""
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
    """What a reader must know of the costs."""
    spared: int | None
    """Runs fewer than with the maximum of seeds for every arm; None unless all is decided."""
    looks: tuple[int, ...]
    """Numbers of seeds at which more may be added; empty if their number is fixed."""

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
        """What runs are judged by."""
        return self.content.study.objectives

    @property
    def baseline(self) -> str:
        """Arm that effects are measured against."""
        return self.content.baseline

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the design and of the costs."""
        return [*map(bare, self.content.notes), *self.cost_notes]

    @property
    def infeasible(self) -> dict[str, str]:
        """Combinations that were left out, with the reason."""
        return {bare(name): bare(why) for name, why in self.content.infeasible.items()}

    @property
    def shared(self) -> Mapping[str, Any] | None:
        """Options of the one recipe that all arms were trained with as well; None without one."""
        return self.content.shared.params if self.content.shared else None

    @property
    def spread(self) -> float | None:
        """Decides how many digits a mean is shown with."""
        return self.noise_floor if self.sd is None else self.sd

    @property
    def uneven(self) -> bool:
        """Whether means are adjusted since arms have unequal seeds."""
        return uneven(self.arms)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "part": self.label,
            "metric": self.metric,
            "objectives": self.objectives,
            "baseline": self.baseline,
            "arms": [asdict(arm) for arm in self.arms],
            "effects": [effect.as_json() for effect in self.effects],
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
        }
