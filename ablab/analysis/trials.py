"""What the trials of tuning or search came to, from their records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.records.home import StudyRecord
from ablab.records.run_record import Record, figure


@dataclass(frozen=True)
class TrialSummary:
    """One trial. `values`: one an objective; None where it came to none. `state`: finished,
    diverged, pruned, failed or open.
    """

    arm: str
    number: int
    params: dict[str, Any]
    values: list[float] | None
    state: str


@dataclass(frozen=True)
class ArmTuning:
    """An arm's trials. `best`: the parameters that its runs took, once all trials ended; `edges`:
    those of them that are the lowest or the highest that was tried.
    """

    arm: str
    trials: list[TrialSummary]
    best: dict[str, Any] | None
    edges: list[str]


def objectives_of(content: Mapping[str, Any]) -> list[str]:
    """What a study's runs are judged by."""
    config = content["config"]
    return (
        config["design"]["objectives"]
        if config["design"]["kind"] == "search"
        else [config["metric"]]
    )


def trials_of(content: Mapping[str, Any], record: StudyRecord) -> list[TrialSummary]:
    """All trials of a study."""
    objectives = objectives_of(content)
    return [_trial(trial, objectives, record) for trial in content["trials"]]


def tuning(content: Mapping[str, Any], trials: Sequence[TrialSummary]) -> list[ArmTuning]:
    """The tuning of each arm; nothing for a study that was not tuned."""
    if not content["config"].get("tune"):
        return []
    return [
        _arm(arm, content, [trial for trial in trials if trial.arm == arm["name"]])
        for arm in content["arms"]
    ]


def _arm(
    arm: Mapping[str, Any], content: Mapping[str, Any], trials: list[TrialSummary]
) -> ArmTuning:
    decided = len(trials) == content["config"]["tune"]["trials"] and all(
        t.state != "open" for t in trials
    )
    best = dict(arm["params"]) if decided else None
    return ArmTuning(
        arm["name"], trials, best, at_edge(best or {}, [trial.params for trial in trials])
    )


def _trial(
    trial: Mapping[str, Any], objectives: Sequence[str], record: StudyRecord
) -> TrialSummary:
    held = Record(record.home.root, trial["key"])
    values, state = None, "open"
    if (result := held.result) is not None:
        state = "diverged" if result["diverged"] else "finished"
        values = (
            None if result["diverged"] else [figure(result, objective) for objective in objectives]
        )
    elif held.pruned:
        state = "pruned"
    elif held.failure is not None:
        state = "failed"
    return TrialSummary(trial["arm"], trial["number"], trial["params"], values, state)


def at_edge(params: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers of `params` that are the lowest or the highest of all that were tried."""
    edges = []
    for name, value in params.items():
        values = {point[name] for point in tried}
        if (
            isinstance(value, int | float)
            and len(values) > 1
            and value in (min(values), max(values))
        ):
            edges.append(name)
    return edges
