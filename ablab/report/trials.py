"""What the trials of tuning or search came to, from their records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.study.home import StudyRecord
from ablab.study.records import Record


@dataclass(frozen=True)
class TrialSummary:
    """One trial. `value`: the metric; None where it came to none. `state`: finished, diverged, pruned, failed or open."""

    number: int
    params: dict[str, Any]
    value: float | None
    state: str


@dataclass(frozen=True)
class ArmTuning:
    """An arm's trials. `best`: the parameters that its runs took, once all trials ended; `edges`: those of them that are the
    lowest or the highest that was tried.
    """

    arm: str
    trials: list[TrialSummary]
    best: dict[str, Any] | None
    edges: list[str]


def tuning(content: Mapping[str, Any], record: StudyRecord) -> list[ArmTuning]:
    """The tuning of each arm; nothing for a study that was not tuned."""
    if not content["config"].get("tune"):
        return []
    return [_arm(arm, content, record) for arm in content["arms"]]


def _arm(arm: Mapping[str, Any], content: Mapping[str, Any], record: StudyRecord) -> ArmTuning:
    metric = content["config"]["metric"]
    trials = [_trial(trial, metric, record) for trial in content["trials"] if trial["arm"] == arm["name"]]
    decided = len(trials) == content["config"]["tune"]["trials"] and all(t.state != "open" for t in trials)
    best = dict(arm["params"]) if decided else None
    return ArmTuning(arm["name"], trials, best, at_edge(best or {}, [trial.params for trial in trials]))


def _trial(trial: Mapping[str, Any], metric: str, record: StudyRecord) -> TrialSummary:
    held = Record(record.home.root, trial["key"])
    value, state = None, "open"
    if (result := held.result) is not None:
        state = "diverged" if result["diverged"] else "finished"
        value = None if result["diverged"] else result["metrics"][metric]
    elif held.pruned:
        state = "pruned"
    elif held.failure is not None:
        state = "failed"
    return TrialSummary(trial["number"], trial["params"], value, state)


def at_edge(params: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers of `params` that are the lowest or the highest of all that were tried."""
    edges = []
    for name, value in params.items():
        values = {point[name] for point in tried}
        if isinstance(value, int | float) and len(values) > 1 and value in (min(values), max(values)):
            edges.append(name)
    return edges


def told(params: Mapping[str, Any]) -> str:
    """Parameters in words: `lr 0.002, warmup 0.1`."""
    return ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items())
