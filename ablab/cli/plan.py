"""`ablab plan`: what a study will train and what it costs, before anything is trained."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import (
    EngineName,
    HomeDir,
    Json,
    Overrides,
    Plugins,
    Profile,
    StudyFile,
    Workers,
)
from ablab.cli.studies import request_of
from ablab.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ablab.analysis.forecast.power import PowerForecast
    from ablab.execute.session import Planned
    from ablab.plan.plan import Arm, Plan, StudyPlan
    from ablab.records.home import Home
    from ablab.schedule.durations import Speed, Storage
    from ablab.schedule.stages import Stage

_SLOTS = (1, 8, 64)  # numbers of runs at a time that are shown for a cluster
Pilot = Annotated[
    bool,
    typer.Option(
        "--pilot",
        help="Train a few runs at neighbouring learning rates and budgets, and propose settings.",
    ),
]


def plan(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    pilot: Pilot = False,
    engine: EngineName = None,
    workers: Workers = None,
    as_json: Json = False,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """List a study's arms, runs and cost, and which runs are done. Trains and creates nothing,
    unless --pilot is given.
    """
    from ablab.analysis.forecast.power import power_forecasts
    from ablab.execute.earlier_looks import refusal, unplanned_look
    from ablab.execute.session import planned
    from ablab.plan.corpus import corpora_of, uses_of
    from ablab.records.home import make_home
    from ablab.report.corpus import corpus_lines
    from ablab.report.durations import duration_lines
    from ablab.schedule.durations import duration_figures

    if pilot and as_json:
        raise UserError("--pilot prints text: leave out --json")
    if workers is not None and not (pilot or engine):
        raise UserError("--workers goes with --pilot or --engine")
    if engine is not None:
        overrides = [*(overrides or []), f"execution.engine={engine}"]
    home_folder = make_home(home)
    study_plan = planned(request_of(file, profile, overrides, plugins), home_folder.root)
    forecasts = power_forecasts(home_folder, study_plan.request.name, study_plan.plan)
    settled = study_plan.settled(home_folder.root)
    corpora = corpora_of(study_plan.plan, home_folder.tokens, study_plan.excluded)
    look = unplanned_look(study_plan, home_folder)
    notes = [f"`ablab run` refuses this study: {refusal(study_plan.study, look)}"] if look else []
    if as_json:
        content = _content(study_plan, settled, forecasts)
        sizes = {fingerprint: asdict(size) for fingerprint, size in corpora.items()}
        content |= {"notes": [*content["notes"], *notes], "corpora": sizes}
        if engine is not None:
            content["durations"] = duration_figures(*_durations(study_plan, home_folder, workers))
        print(json.dumps(content, indent=1))
    else:
        lines = corpus_lines(uses_of(study_plan.plan, corpora))
        if engine is not None:
            notes += duration_lines(*_durations(study_plan, home_folder, workers))
        _print_plan(study_plan, settled, forecasts, [*lines, *notes])
    if pilot:
        from ablab.cli.pilot import run_pilot

        run_pilot(study_plan, home_folder, workers)


def _durations(
    study_plan: "Planned", home: "Home", workers: int | None
) -> "tuple[list[list[Stage]], Speed | None, Storage, Sequence[int]]":
    """Return what tells how long the whole study takes on the engine: its stages, the speed of its
    finished runs, what it stores, and numbers of runs at a time.
    """
    from ablab.schedule.durations import speed_on_record, storage_of
    from ablab.schedule.stages import stages_of

    study = study_plan.study
    slots = _SLOTS
    if workers is not None:
        slots = (workers,)
    elif not study.execution.elsewhere:
        slots = (study.hardware.workers(None, study_plan.plan.expected.runs),)
    return (
        stages_of(study, study_plan.plan),
        speed_on_record(home, study_plan.request.name),
        storage_of(study_plan.plan),
        slots,
    )


def _content(
    study_plan: "Planned", settled: set[str], forecasts: "Sequence[PowerForecast | None]"
) -> dict[str, Any]:
    """Return the plan in plain JSON types."""
    plan = study_plan.plan
    expected = plan.expected
    parts = [
        {
            "label": part.label,
            "baseline": part.plan.baseline,
            "arms": _arms(part.plan),
            "runs": part.plan.expected.runs,
            "trials": part.plan.expected.trials,
            "training_flops": part.plan.expected.flops,
            "detectable_effect": forecast.effect if forecast else None,
            "sd": forecast.sd if forecast else None,
            "margin": forecast.margin if forecast else None,
            "detectable_dependence": forecast.dependence if forecast else None,
            "equivalence_power": shown.power if shown else None,
            "equivalence_seeds": shown.seeds_needed if shown else None,
        }
        for part, forecast in zip(plan.parts, forecasts, strict=True)
        for shown in [forecast.equivalence if forecast else None]
    ]
    return {
        "study": study_plan.request.name,
        "revision": study_plan.study.revision(),
        "parts": parts,
        "runs": expected.runs,
        "most_runs": expected.most or expected.runs,
        "trials": expected.trials,
        "to_train": expected.runs + expected.trials - len(settled),
        "training_flops": expected.flops,
        "infeasible": plan.infeasible,
        "notes": list(plan.notes),
    }


def _arms(plan: "Plan") -> list[dict[str, Any]]:
    return [
        {
            "name": arm.name,
            "expression": arm.expression,
            "plugins": list(arm.plugins),
            "parameters": arm.parameters,
            "flops_per_token": arm.flops_per_token,
            "tokens": arm.tokens,
            "steps": arm.steps,
            "mismatch": arm.mismatch,
            "feed_forward": list(arm.feed_forward),
        }
        for arm in plan.arms
    ]


def _plan_table(title: str, plan: "Plan", seeds: int, finished: set[str]) -> "Table":
    """Return a table of the arms; `seeds`: runs per arm where the plan does not list them yet."""
    from rich.markup import escape

    from ablab.text.fitting_table import FittingTable

    table = FittingTable(title=escape(title) or None, title_justify="left")
    table.add_column("arm", overflow="fold", ratio=1)
    matched = any(arm.mismatch is not None for arm in plan.arms)
    columns = ["params", "FLOPs/token", "tokens", "steps", "done"]
    if matched:
        columns.insert(4, "mismatch")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for arm in plan.arms:
        keys = [run.key for run in plan.runs if run.arm == arm.name]
        cells = _cells(arm, matched=matched)
        table.add_row(*cells, f"{sum(key in finished for key in keys)}/{len(keys) or seeds}")
    return table


def _cells(arm: "Arm", *, matched: bool) -> list[str]:
    from rich.markup import escape

    from ablab.text.numbers import short

    cells = [
        escape(arm.name),
        short(arm.parameters),
        short(arm.flops_per_token),
        short(arm.tokens),
        "–" if arm.steps is None else str(arm.steps),
    ]
    if matched:
        cells.append("–" if arm.mismatch is None else f"{arm.mismatch:+.2%}")
    return cells


def _print_plan(
    study_plan: "Planned",
    settled: set[str],
    forecasts: "Sequence[PowerForecast | None]",
    notes: "Sequence[str]",
) -> None:
    """Print the plan; `forecasts`: the power of each part, `notes`: those beside the plan's."""
    from rich.console import Console

    from ablab.report.forecast import forecast_lines
    from ablab.stats.inference.limits import MIN_SEEDS

    console = Console(highlight=False)
    study = study_plan.study
    plan = study_plan.plan
    seeds = study.adaptive.start if study.adaptive else len(study.seed_list())
    console.print(f"{study_plan.request.name} (revision {study.revision()})", markup=False)
    for part, forecast in zip(plan.parts, forecasts, strict=True):
        console.print(_plan_table(part.label, part.plan, seeds, settled))
        if forecast is not None:
            for line in forecast_lines(forecast, study.metric):
                console.print(line, markup=False)
        if len(study.seed_list()) < MIN_SEEDS:
            console.print(f"verdicts need {MIN_SEEDS} seeds or more: this study gives estimates")
    _print_cost(plan, len(settled), console)
    for note in (*plan.notes, *notes):
        console.print(note, markup=False)
    for name, reason in plan.infeasible.items():
        console.print(f"left out: {name}: {reason}", markup=False)


def _print_cost(plan: "StudyPlan", finished: int, console: "Console") -> None:
    from ablab.text.numbers import short

    expected = plan.expected
    trials = f"{expected.trials} trials and " if expected.trials else ""
    missing = expected.runs + expected.trials - finished
    at_least = "at least " if expected.most not in (None, expected.runs) else ""
    flops = ""
    if expected.flops is not None:
        flops = f"; {at_least}{short(expected.flops)} training FLOPs in all"
    console.print(f"{trials}{expected.text}, {at_least}{missing} to train{flops}")
