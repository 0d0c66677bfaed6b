"""What a report shows beside its summary: curves, steps, what was equal, what was left out, how to
run it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.analysis.arms import ArmSummary
from ablab.analysis.curves import Curves, curves_of
from ablab.analysis.scope import own_data
from ablab.analysis.summary import Summary
from ablab.analysis.waterfall_steps import Steps, steps_of
from ablab.records.home import StudyRecord
from ablab.records.run_record import Record
from ablab.text.numbers import short
from ablab.text.truncate import bare, some

_UNKNOWN = "not recorded"
_AXES = {
    "tokens": "tokens",
    "flops": "training FLOPs",
    "seconds": "training seconds",
    "parameters": "parameters",
    "peak_memory_bytes": "peak memory (bytes)",
}


@dataclass(frozen=True)
class Range:
    """What one of the costs came to over the arms: the least and the most, as text, and what that
    means.
    """

    name: str
    least: str
    most: str
    verdict: str
    equal: bool


@dataclass(frozen=True)
class Evidence:
    """`excluded`: what was left out and why, a line each. `again`: (what, how) of running it
    again.
    """

    curves: Curves
    steps: Steps | None
    ranges: list[Range]
    excluded: list[str]
    again: list[tuple[str, str]]


def evidence_of(summary: Summary, record: StudyRecord, content: Mapping[str, Any]) -> Evidence:
    """Reads what the records hold of a study, or of one of its parts: `content` is its record."""
    return Evidence(
        curves_of(summary, content, record),
        steps_of(summary, content),
        ranges(summary.arms, summary.apart),
        excluded(summary, content),
        again(summary, content, record),
    )


def ranges(arms: Sequence[ArmSummary], apart: Mapping[str, str]) -> list[Range]:
    """Of every axis of cost; one that was not measured is left out. `apart`: see `Summary`."""
    found = [(axis, [v for arm in arms if (v := getattr(arm, axis)) is not None]) for axis in _AXES]
    return [_range(_AXES[axis], values, apart.get(axis)) for axis, values in found if values]


def _range(name: str, values: Sequence[float], apart: str | None) -> Range:
    if apart:
        return Range(name, "–", "–", f"not compared: {apart}", False)
    least, most = min(values), max(values)
    ratio = most / least if least > 0 else 1.0
    if least == most:
        return Range(name, short(least), short(most), "equal", True)
    if ratio <= 1.01:
        return Range(
            name, short(least), short(most), f"equal within {100 * (ratio - 1):.2g} %", True
        )
    return Range(
        name,
        short(least),
        short(most),
        f"not equal: the most is {ratio:.3g} times the least",
        False,
    )


def excluded(summary: Summary, content: Mapping[str, Any]) -> list[str]:
    """What the figures leave out."""
    runs = {run["key"]: f"{run['arm']}, seed {run['seed']}" for run in content["runs"]}
    runs |= {
        trial["key"]: f"{trial['arm']}, trial {trial['number']}" for trial in content["trials"]
    }
    lines = _diverged(summary)
    for part in summary.parts:
        lines += [f"{part.part}: {line}" for line in _diverged(part)]
    lines += some(
        f"failed: {runs.get(key, key)}: {bare(reason)}" for key, reason in summary.failed.items()
    )
    lines += some(f"infeasible: {name}: {reason}" for name, reason in summary.infeasible.items())
    for state, why in (
        ("pruned", "ended early, since they lagged"),
        ("diverged", "diverged"),
        ("failed", "failed"),
    ):
        if count := sum(trial.state == state for trial in summary.trials):
            lines.append(
                f"trials: {count} of {len(summary.trials)} {why}, and count as without a value"
            )
    if missing := summary.runs - summary.finished:
        lines.append(f"missing: {missing} of {summary.runs} runs are not finished")
    return lines


def _diverged(summary: Summary) -> list[str]:
    seeds = [(arm.name, ", ".join(map(str, arm.diverged))) for arm in summary.arms if arm.diverged]
    lines = some(
        f"diverged: {arm} (seed {numbers}): no mean, and no effect that needs it"
        for arm, numbers in seeds
    )
    lost = [effect.name for effect in summary.effects if effect.verdict == "diverged"]
    return lines + some(f"not estimable: {name}: an arm that it needs diverged" for name in lost)


def again(
    summary: Summary, content: Mapping[str, Any], record: StudyRecord
) -> list[tuple[str, str]]:
    """Command, code, machine and data; says so where one is not recorded."""
    sources, config = content["sources"], content["config"]
    commit = sources.get("commit")
    changed = " with changes that are not committed" if sources.get("changed") else ""
    folder = f"the working folder's commit at the last run: {commit or _UNKNOWN}{changed}"
    arms = {run["arm"]: run["key"] for run in content["runs"]}
    prints = {spec["data"] for key in arms.values() if (spec := Record(record.home.root, key).spec)}
    used = f"{config['data']['source']}, tokenizer {config['data']['tokenizer']['kind']}"
    return [
        ("Command", f"ablab run {bare(sources['command'])}"),
        ("Study", f"{summary.study}, revision {summary.revision}"),
        ("Code", f"ablab {sources.get('version', f'({_UNKNOWN})')}; {folder}"),
        ("Numerics", f"version {sources['numerics']}" if "numerics" in sources else _UNKNOWN),
        ("Machine", sources.get("machine") or _UNKNOWN),
        ("Devices", "; ".join(summary.devices) or "nothing ran yet"),
        (
            "Data",
            "; ".join(
                [
                    used,
                    *own_data(content["arms"]),
                    f"fingerprint {', '.join(sorted(prints)) or _UNKNOWN}",
                ]
            ),
        ),
        ("FLOPs", sources["flop_convention"]),
    ]
