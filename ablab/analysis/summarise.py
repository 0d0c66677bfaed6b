"""Computes the results of a study from its record and the records of its runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablab.analysis.across.across_parts import across
from ablab.analysis.across.ladder import PartResult
from ablab.analysis.arms import arms_of
from ablab.analysis.checks import Checks, checks_of
from ablab.analysis.costs import Costs, uncompared
from ablab.analysis.documents import document_errors
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.effects import findings, looks_of
from ablab.analysis.lr_surface import surface_of
from ablab.analysis.result_table import ResultTable, read_results
from ablab.analysis.summary import PartSummary, Progress, StudySummary
from ablab.analysis.time_shares import time_shares
from ablab.analysis.timings import timings_of
from ablab.analysis.trials import trials_of, tuning_of
from ablab.analysis.within_levels import within_levels
from ablab.metrics import METRICS
from ablab.records.run_record import Record, settled_keys
from ablab.records.study_content import PartContent, StudyContent
from ablab.records.study_record import Execution, StudyRecord
from ablab.spec.search import Search
from ablab.stats.front import dominated_by
from ablab.train.result import ONE_PROCESS, RunResult


def summarise(record: StudyRecord) -> StudySummary:
    """Return the results of a study, as far as its runs are finished.

    Raises:
        UserError: if it was never run in this home.

    """
    content = record.read()
    home = record.home.root
    run_results = read_results(home, (*content.run_entries, *content.trial_entries))
    tables = [ResultTable.of(part, run_results) for part in content.parts]
    parts = [_part(record, part, table) for part, table in zip(content.parts, tables, strict=True)]
    results = [_part_result(part, table) for part, table in zip(parts, tables, strict=True)]
    executions = record.executions
    return StudySummary(
        content=content,
        progress=_progress(home, content, run_results),
        parts=parts,
        across=across(content, results) if len(parts) > 1 else None,
        time=time_shares(executions, (result.cost for result in run_results.values())),
        wall_seconds=sum(e.wall_seconds for e in executions) if executions else None,
        workers=_workers(executions),
        results=run_results,
    )


def _workers(executions: Sequence[Execution]) -> int | None:
    """Return the number of workers of the last execution that trained; None if there is none."""
    trained = [execution for execution in executions if execution.busy_seconds > 0]
    return (trained or executions)[-1].workers if executions else None


def _part(record: StudyRecord, part: PartContent, table: ResultTable) -> PartSummary:
    home = record.home.root
    costs = Costs.of(part, table, timings_of(part, record.timings))
    one_recipe = None
    if part.shared:
        one_recipe = ResultTable.of(part, table.results, part.shared.runs)
    trials = trials_of(part, home)
    tuning = tuning_of(part, trials)
    results = findings(part, table, one_recipe, surface_of(part.study, tuning))
    errors = document_errors(home, table, part.contrasts, part.study.metric)
    effects = [
        replace(
            effect,
            **costs.of_effect(contrast),
            document_error=error.error if error else None,
            documents=error.documents if error else None,
        )
        for effect, contrast, error in zip(results.effects, part.contrasts, errors, strict=True)
    ]
    best = {arm.arm: arm.best for arm in tuning}
    arms = [replace(arm, tuned=best.get(arm.name)) for arm in arms_of(part, table, costs)]
    return PartSummary(
        content=part,
        progress=_progress(home, part, table.results),
        arms=arms,
        effects=effects,
        sd=results.sd,
        dof=results.dof,
        noise_floor=results.noise_floor,
        detectable_effect=results.detectable,
        margin=results.margin,
        trials=trials,
        tuning=tuning,
        survivors=_survivors(part, table, costs),
        not_compared=costs.not_compared,
        cost_notes=costs.notes,
        spared=_spared(part, effects),
        looks=looks_of(part.study),
        checks=_checks(part, table),
    )


def _checks(part: PartContent, table: ResultTable) -> Checks:
    spare = [replace(column, weights=table.weights(column.weights)) for column in part.spare]
    return checks_of(within_levels(part.study, table.values(part.study.metric)), spare)


def _part_result(part: PartSummary, table: ResultTable) -> PartResult:
    flops = {arm.name: arm.flops or 0.0 for arm in part.arms}
    return PartResult(
        label=part.label,
        baseline=part.baseline,
        compute=flops[part.baseline],
        cells=table.values(part.metric, equal_arms=True),
        flops=flops,
        first=table.first,
    )


def _progress(
    home: Path, content: PartContent | StudyContent, run_results: Mapping[str, RunResult]
) -> Progress:
    runs = content.run_entries
    trials = content.trial_entries
    results = {key: run_results[key] for key in runs if key in run_results}
    settled = {*results, *settled_keys(home, trials)}
    unfinished = [Record(home, key) for key in (*runs, *trials) if key not in results]
    reasons = {record.key: _reason(record) for record in unfinished}
    return Progress(
        runs=content.expected.runs + content.expected.trials,
        finished=len(settled),
        failed={key: reason for key, reason in reasons.items() if reason},
        devices=_devices(results.values()),
    )


def _reason(record: Record) -> str:
    """Return why a run is not finished; empty if it is only waiting."""
    damage = record.damage
    if damage:
        return f"{damage}: `ablab run` trains it again"
    failure = record.failure
    return failure["reason"] if failure else ""


def _spared(part: PartContent, effects: Sequence[EffectSummary]) -> int | None:
    """Runs fewer than with the maximum of seeds for every arm; None unless all is decided."""
    adaptive = part.study.adaptive
    changes = [effect for effect in effects if effect.kind != "interaction"]
    if adaptive is None or any(effect.verdict is None for effect in changes):
        return None
    keys: dict[str, list[str]] = {}
    for run in part.runs:
        keys.setdefault(run.arm, []).append(run.key)
    arms = len({runs[0] for runs in keys.values()})  # arms of equal value share their runs
    return arms * adaptive.max - len({run.key for run in part.runs})


def _survivors(part: PartContent, table: ResultTable, costs: Costs) -> dict[str, str | None]:
    """Of a search whose runs are all finished: each arm with the arm that beats it, if any.

    Arms that diverged are left out. No arm is known to beat another where an objective is a cost
    that is not compared.
    """
    if not isinstance(part.study.design, Search):
        return {}
    if not part.runs or len(table.finished) < len(part.runs):
        return {}
    objectives = part.study.objectives
    signs = [METRICS[objective].sign for objective in objectives]
    tables = [table.values(objective, equal_arms=True) for objective in objectives]
    comparable = not uncompared(objectives, costs.not_compared)
    return {
        arm: dominated_by(tables, arm, signs) if comparable else None
        for arm in dict.fromkeys(arm for arm, _ in tables[0])
    }


def _devices(results: Iterable[RunResult]) -> list[str]:
    """Return the devices of runs, with a remark if their arithmetic may differ."""
    every = list(results)
    devices = sorted({_device(result) for result in every})
    processors = sorted({name for result in every for name in result.processors})
    if len(processors) > 1:
        devices.append(f"unlike processors ({'; '.join(processors)}): last digits may differ")
    return devices


def _device(result: RunResult) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    layout = "" if result.layout == ONE_PROCESS else f"{result.layout}, "
    return f"{result.device} ({layout}{result.precision}, {result.threads} thread(s), {versions})"
