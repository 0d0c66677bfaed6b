"""Gathers a study's figures from its run records, and estimates its effects."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ablab.analysis.across_parts import across
from ablab.analysis.arms import arms_of
from ablab.analysis.costs import ONE_PROCESS, Costs, uncompared
from ablab.analysis.effects import findings, looks_of
from ablab.analysis.scope import holds_for, scope
from ablab.analysis.summary import Summary
from ablab.analysis.trials import objectives_of, trials_of, tuning
from ablab.metrics import METRICS
from ablab.records.home import StudyRecord, parts_alone
from ablab.records.run_record import Record, figure, settled_keys
from ablab.spec.seeds import runs_spared
from ablab.stats.front import dominated_by
from ablab.text.truncate import bare


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
    signs = [METRICS[objective].sign for objective in objectives]
    tables = [
        {(arm, seed): figure(result, objective) for arm, seed, result in sound}
        for objective in objectives
    ]
    compared = not uncompared(objectives, costs.apart)
    return {
        arm: dominated_by(tables, arm, signs) if compared else None
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
