"""The results of the trials of a tuning or a search."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.records.status import state
from ablab.records.study_content import Arm, PartContent, TrialEntry


@dataclass(frozen=True)
class TrialSummary:
    """A trial of a tuning or a search."""

    arm: str
    """Name of the arm."""
    number: int
    """Number among the trials of its arm, or of the search."""
    params: Mapping[str, Any]
    """Options that were tried."""
    values: list[float] | None
    """One per objective; None if the trial diverged or has no result."""
    state: RunState
    """State of its run."""
    diverged: bool = False
    """Whether it finished without a finite value."""

    @property
    def settled(self) -> bool:
        """Whether its result is final, unless it is run again."""
        return self.state in (RunState.FINISHED, RunState.PRUNED, RunState.FAILED)

    @property
    def status(self) -> str:
        """Its state in a word."""
        return "diverged" if self.diverged else self.state.value

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types; `state` is the status."""
        return {**asdict(self), "state": self.status}


@dataclass(frozen=True)
class ArmTuning:
    """The tuning of an arm."""

    arm: str
    """Name of the arm."""
    trials: list[TrialSummary]
    """Its trials."""
    best: Mapping[str, Any] | None
    """Options that the trials chose, which its runs have; None until all trials ended."""
    edges: list[str]
    """Those options that are the lowest or the highest tried."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "trials": [trial.as_json() for trial in self.trials]}


def trials_of(part: PartContent, home: Path) -> list[TrialSummary]:
    """Return all trials of a part of a study."""
    return [_trial(trial, part.study.objectives, home) for trial in part.trials]


def tuning_of(part: PartContent, trials: Sequence[TrialSummary]) -> list[ArmTuning]:
    """Return the tuning of each arm; empty for a study that is not tuned."""
    tune = part.study.tune
    if tune is None:
        return []
    return [
        _arm(arm, [trial for trial in trials if trial.arm == arm.name], tune.trials)
        for arm in part.arms
    ]


def _arm(arm: Arm, trials: list[TrialSummary], count: int) -> ArmTuning:
    decided = len(trials) >= count and all(trial.settled for trial in trials)
    best = dict(arm.params) if decided else None
    return ArmTuning(arm.name, trials, best, at_edge(best or {}, [t.params for t in trials]))


def _trial(trial: TrialEntry, objectives: Sequence[str], home: Path) -> TrialSummary:
    result = Record(home, trial.key).result
    if result is None:
        now = state(home, trial.key)
        return TrialSummary(trial.arm, trial.number, trial.params, None, now)
    values = None if result.diverged else [result.value(name) for name in objectives]
    return TrialSummary(
        trial.arm, trial.number, trial.params, values, RunState.FINISHED, result.diverged
    )


def at_edge(params: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the numeric options in `params` that are the lowest or the highest of all points."""
    edges = []
    for name, value in params.items():
        values = {point[name] for point in points}
        numeric = isinstance(value, int | float)
        if numeric and len(values) > 1 and not min(values) < value < max(values):
            edges.append(name)
    return edges
