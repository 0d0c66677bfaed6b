"""Gathers a study's figures from its run records, and estimates its effects."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablab.analysis.across_parts import across
from ablab.analysis.arms import ArmSummary, arms_of, uneven
from ablab.analysis.costs import ONE_PROCESS, Costs, uncompared
from ablab.analysis.effects import EffectSummary, findings, looks_of
from ablab.analysis.trials import ArmTuning, TrialSummary, objectives_of, trials_of, tuning
from ablab.records.home import StudyRecord, parts_alone
from ablab.records.run_record import Record, figure, settled_keys
from ablab.report.scope import holds_for, scope
from ablab.report.truncate import bare, some_of
from ablab.spec.seeds import runs_spared
from ablab.stats.front import dominated_by


@dataclass(frozen=True)
class Summary:
    """All that a report shows. `overhead`: share of the execution's time not spent in training
    steps or validation. `survivors`: of a search whose confirming runs are all in, each confirmed
    arm with the one that beats it, if one does. `objectives`: what runs are judged by. `apart`: by
    cost, why it is not compared between arms. `margin`, `noise_floor`, `detectable_effect`: see
    `verdicts.Findings`. `shared`: the parameters of the one recipe for all that every arm was tried
    with beside its own, if there was one. `spared`: runs fewer than with the most seeds everywhere;
    `looks`: after how many seeds an adaptive study may end. `parts`: of a study in several parts,
    each part's figures (`part`: its label); `across`: what only all of them tell.
    """

    study: str
    revision: str
    question: str
    metric: str
    objectives: list[str]
    arms: list[ArmSummary]
    effects: list[EffectSummary]
    infeasible: dict[str, str]
    runs: int
    finished: int
    failed: dict[str, str]
    sd: float | None
    dof: int
    overhead: float | None
    wall_seconds: float | None
    workers: int | None
    scope: list[str]
    holds_for: str
    devices: list[str]
    trials: list[TrialSummary]
    tuning: list[ArmTuning]
    survivors: dict[str, str | None]
    notes: list[str]
    baseline: str
    margin: float | None
    noise_floor: float | None
    detectable_effect: float | None
    shared: dict[str, Any] | None
    spared: int | None
    looks: list[int]
    apart: dict[str, str] = field(default_factory=dict)
    part: str = ""
    parts: list["Summary"] = field(default_factory=list)
    across: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every run is finished."""
        return self.finished == self.runs

    @property
    def spread(self) -> float | None:
        """What decides how many digits a mean is shown with."""
        return self.noise_floor if self.sd is None else self.sd

    @property
    def uneven(self) -> bool:
        """Whether means are adjusted, since arms have unequal seeds."""
        return uneven(self.arms)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; figures that are not finite are null."""
        return _finite(_without_parts(asdict(self)))


def summarise(record: StudyRecord) -> Summary:
    """The study's figures as far as its runs are finished."""
    content = record.read()
    if "parts" not in content:
        return _summarise(record, content)
    parts = [replace(_summarise(record, part), part=part["label"]) for part in parts_alone(content)]
    whole = _summarise(record, content)
    spared = (
        None if any(part.spared is None for part in parts) else whole.spared
    )  # it has no verdicts of its own
    return replace(whole, parts=parts, across=across(content, parts), spared=spared)


def _summarise(record: StudyRecord, content: Mapping[str, Any]) -> Summary:
    root = record.home.root
    shared = content.get("shared") or {"params": None, "runs": []}
    keys = {run["key"] for run in (*content["runs"], *shared["runs"])}
    trials = {trial["key"] for trial in content["trials"]} - keys
    results = {key: result for key in keys if (result := Record(root, key).result) is not None}
    costs = Costs.of(content, results)
    arms = arms_of(content, results, costs)
    found = findings(content, results)
    effects = [
        replace(e, **costs.of_effect(c))
        for e, c in zip(found.effects, content["contrasts"], strict=True)
    ]
    executions, tried = record.executions, trials_of(content, record)
    tuned = tuning(content, tried)
    settled_all = all(
        effect.verdict is not None for effect in effects if effect.kind != "interaction"
    )
    chosen = {arm.arm: arm.best for arm in tuned}
    settled = set(results) | settled_keys(root, trials)
    failures = {key: Record(root, key).failure for key in (keys | trials) - set(results)}
    return Summary(
        study=record.name,
        revision=record.revision,
        question=content["config"]["question"],
        metric=content["config"]["metric"],
        objectives=objectives_of(content),
        arms=[replace(arm, tuned=chosen.get(arm.name)) for arm in arms],
        effects=effects,
        infeasible={bare(name): bare(reason) for name, reason in content["infeasible"].items()},
        runs=content["expected"]["runs"] + content["expected"]["trials"],
        finished=len(settled),
        failed={k: f["reason"] for k, f in failures.items() if f},
        sd=found.sd,
        dof=found.dof,
        overhead=_overhead(executions),
        wall_seconds=sum(e["wall_seconds"] for e in executions) if executions else None,
        workers=executions[-1]["workers"] if executions else None,
        scope=scope(content),
        holds_for=holds_for(content),
        devices=sorted({_device(result) for result in results.values()}),
        trials=tried,
        tuning=tuned,
        survivors=_survivors(content, results, costs),
        apart=costs.apart,
        notes=[*map(bare, content["notes"]), *costs.notes],
        baseline=found.baseline,
        margin=found.margin,
        noise_floor=found.noise_floor,
        detectable_effect=found.detectable,
        shared=shared["params"],
        spared=runs_spared(content) if settled_all else None,
        looks=list(looks_of(content)),
    )


def _survivors(
    content: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]], costs: Costs
) -> dict[str, str | None]:
    """Of a search: each confirmed arm with the arm that beats it, None where there is none. Arms
    that diverged are left out, and no arm is known to beat another where an objective is a cost
    that is not compared. Nothing before all confirming runs are in.
    """
    runs = [
        (run["arm"], run["seed"], results[run["key"]])
        for run in content["runs"]
        if run["key"] in results
    ]
    if content["config"]["design"]["kind"] != "search" or len(runs) < max(1, len(content["runs"])):
        return {}
    lost = {arm for arm, _, result in runs if result["diverged"]}
    sound = [run for run in runs if run[0] not in lost]
    objectives = objectives_of(content)
    tables = [
        {(arm, seed): figure(result, objective) for arm, seed, result in sound}
        for objective in objectives
    ]
    compared = not uncompared(objectives, costs.apart)
    return {
        arm: dominated_by(tables, arm) if compared else None
        for arm in dict.fromkeys(arm for arm, _, _ in sound)
    }


def _overhead(executions: list[dict[str, Any]]) -> float | None:
    """Of the executions that trained something."""
    trained = [e for e in executions if e["busy_seconds"] > 0]
    available = sum(e["wall_seconds"] * e["workers"] for e in trained)
    return max(0.0, 1 - sum(e["busy_seconds"] for e in trained) / available) if available else None


def _device(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    layout = result.get("layout", ONE_PROCESS)
    shared = "" if layout == ONE_PROCESS else f"{layout}, "
    return (
        f"{result['device']} ({shared}{result['precision']}, {result['threads']} thread(s), "
        f"{versions})"
    )


def _without_parts(content: dict[str, Any]) -> dict[str, Any]:
    """Less what is empty in a study without parts, and cut where much was left out."""
    content = {**content, "infeasible": some_of(content["infeasible"])}
    empty = {key for key in ("part", "parts", "across") if not content[key]}
    parts = (
        {"parts": [_without_parts(part) for part in content["parts"]]} if content["parts"] else {}
    )
    return {key: value for key, value in {**content, **parts}.items() if key not in empty}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
