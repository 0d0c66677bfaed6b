"""What a report states beside its tables: costs in common, omissions, and how to repeat it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablab.analysis.arms import ArmSummary
from ablab.analysis.curves import Curves, curves_of
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.analysis.waterfall_steps import Steps, steps_of
from ablab.records.home import Home
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.records.study_content import TrialEntry
from ablab.report.scope import own_data
from ablab.text.numbers import short
from ablab.text.truncate import bare, some

_UNKNOWN = "not recorded"
_CHECKS = {
    True: "every arm was checked before training: causality, gradients, shapes",
    False: "arms were not checked before training (--skip-checks)",
    None: _UNKNOWN,
}
_AXES = {
    "tokens": "tokens",
    "flops": "training FLOPs",
    "seconds": "training seconds",
    "parameters": "parameters",
    "peak_memory_bytes": "peak memory (bytes)",
}


@dataclass(frozen=True)
class Range:
    """The range of one cost over the arms, as text."""

    name: str
    """The cost."""
    least: str
    """Minimum over the arms."""
    most: str
    """Maximum over the arms."""
    verdict: str
    """Whether the arms are equal in it."""
    equal: bool
    """Whether they are, within 1 %."""


@dataclass(frozen=True)
class Evidence:
    """What the records hold of a part of a study beside its summary."""

    curves: Curves
    """Loss curves."""
    steps: Steps | None
    """Steps of the waterfall; None where there are none."""
    ranges: list[Range]
    """Ranges of the costs over the arms."""


def evidence_of(part: PartSummary, home: Path) -> Evidence:
    """Read what the records hold of a part of a study."""
    return Evidence(curves_of(part, home), steps_of(part), ranges(part.arms, part.not_compared))


def ranges(arms: Sequence[ArmSummary], not_compared: Mapping[str, str]) -> list[Range]:
    """Return the range of every cost that was measured.

    Args:
        arms: the arms.
        not_compared: by cost, why it is not compared between arms.

    """
    cost_ranges = []
    for axis, name in _AXES.items():
        values = [getattr(arm, axis) for arm in arms]
        values = [value for value in values if value is not None]
        if values:
            cost_ranges.append(_range(name, values, not_compared.get(axis)))
    return cost_ranges


def _range(name: str, values: Sequence[float], not_compared: str | None) -> Range:
    if not_compared:
        return Range(name, "–", "–", f"not compared: {not_compared}", equal=False)
    least = min(values)
    most = max(values)
    ratio = most / least if least > 0 else 1.0
    equal = ratio <= 1.01
    verdict = f"not equal: the most is {ratio:.3g} times the least"
    if least == most:
        verdict = "equal"
    elif equal:
        verdict = f"equal within {100 * (ratio - 1):.2g} %"
    return Range(name, short(least), short(most), verdict, equal)


def excluded(summary: StudySummary) -> list[str]:
    """Return what the figures of a study leave out."""
    lines = []
    for part in summary.parts:
        prefix = f"{part.label}: " if part.label else ""
        lines += [prefix + line for line in _diverged(part)]
    names = _run_names(summary)
    lines += some(
        f"failed: {names.get(key, key)}: {bare(reason)}"
        for key, reason in summary.progress.failed.items()
    )
    infeasible = {name: why for part in summary.parts for name, why in part.infeasible.items()}
    lines += some(f"infeasible: {name}: {reason}" for name, reason in infeasible.items())
    lines += _lost_trials(summary)
    progress = summary.progress
    missing = progress.runs - progress.finished
    if missing:
        lines.append(f"missing: {missing} of {progress.runs} runs are not finished")
    return lines


def _run_names(summary: StudySummary) -> dict[str, str]:
    names = {}
    for key, entry in summary.content.entries.items():
        number = f"trial {entry.number}" if isinstance(entry, TrialEntry) else f"seed {entry.seed}"
        names[key] = f"{entry.arm}, {number}"
    return names


def _lost_trials(summary: StudySummary) -> list[str]:
    trials = [trial for part in summary.parts for trial in part.trials]
    counts = (
        (sum(t.state == RunState.PRUNED for t in trials), "ended early, since they lagged"),
        (sum(t.diverged for t in trials), "diverged"),
        (sum(t.state == RunState.FAILED for t in trials), "failed"),
    )
    return [
        f"trials: {count} of {len(trials)} {why}, and count as without a value"
        for count, why in counts
        if count
    ]


def _diverged(part: PartSummary) -> list[str]:
    seeds = [(arm.name, ", ".join(map(str, arm.diverged))) for arm in part.arms if arm.diverged]
    lines = some(
        f"diverged: {arm} (seed {numbers}): no mean, and no effect that needs it"
        for arm, numbers in seeds
    )
    effects = [effect.name for effect in part.effects if effect.verdict == "diverged"]
    return lines + some(f"not estimable: {name}: an arm that it needs diverged" for name in effects)


def how_to_repeat(summary: StudySummary, home: Home) -> list[tuple[str, str]]:
    """Return the command, code, machine and data of a study, as far as they are recorded."""
    sources = summary.sources
    changes = " with changes that are not committed" if sources.changed else ""
    commit = f"the working folder's commit at the last run: {sources.commit or _UNKNOWN}{changes}"
    return [
        ("Command", f"ablab run {bare(sources.command)}"),
        ("Study", f"{summary.study}, revision {summary.revision}"),
        ("Code", f"ablab {sources.version or f'({_UNKNOWN})'}; {commit}"),
        ("Numerics", f"version {sources.numerics}"),
        ("Machine", sources.machine or _UNKNOWN),
        ("Devices", "; ".join(summary.progress.devices) or "nothing ran yet"),
        ("Data", _data(summary, home)),
        ("FLOPs", sources.flop_convention),
        ("Checks", _CHECKS[sources.checked]),
    ]


def _data(summary: StudySummary, home: Home) -> str:
    parts = summary.content.parts
    data = summary.content.study.data
    # All runs of an arm have the same data, so one of each is enough.
    keys = {entry.arm: key for key, entry in summary.content.run_entries.items()}
    specs = [Record(home.root, key).spec for key in keys.values()]
    prints = sorted({spec.data for spec in specs if spec is not None})
    texts = [
        f"{data.source}, tokenizer {data.tokenizer.kind}",
        *_distinct(line for part in parts for line in own_data(part.arms)),
        f"fingerprint {', '.join(prints) or _UNKNOWN}",
    ]
    return "; ".join(texts)


def _distinct(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
