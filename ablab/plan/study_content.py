"""A study and its plan as plain values: what the study's record keeps."""

from dataclasses import asdict
from typing import Any

from ablab.design.build import Contrast
from ablab.plan.plan import Plan, Trial
from ablab.records.run_spec import RunSpec
from ablab.spec.study import Study


def _run(run: RunSpec) -> dict[str, Any]:
    return {"arm": run.arm, "seed": run.seed, "key": run.key}


def _shared(plan: Plan) -> dict[str, Any] | None:
    return (
        {"params": dict(plan.shared.params), "runs": [_run(run) for run in plan.shared.runs]}
        if plan.shared
        else None
    )


def study_content(study: Study, plan: Plan) -> dict[str, Any]:
    """A study and its plan. Of one in several parts: each as it would be alone, and the runs and
    trials of all.
    """
    content = {
        "config": study.content("tracking"),  # an address may hold a password
        "arms": [asdict(arm) for arm in plan.arms],
        "runs": [_run(run) for run in plan.runs],
        "trials": [_trial(trial) for trial in plan.trials],
        "expected": asdict(plan.expected),
        "baseline": plan.baseline,
        "shared": _shared(plan),
        "contrasts": [_plain(c) for c in plan.contrasts],
        "infeasible": dict(plan.infeasible),
        "notes": list(plan.notes),
    }
    if not plan.parts:
        return content
    content["runs"] = [
        {"arm": run.title, "seed": run.seed, "key": run.key, "part": run.part} for run in plan.runs
    ]
    content["trials"] = [
        {**_trial(trial), "arm": trial.run.title, "part": trial.run.part} for trial in plan.trials
    ]
    parts = [{"label": p.label, **study_content(p.study, p.plan)} for p in plan.parts]
    return {**content, "arms": [], "parts": parts}


def _trial(trial: Trial) -> dict[str, Any]:
    run = trial.run
    return {
        "arm": run.arm,
        "number": run.trial,
        "seed": run.seed,
        "key": run.key,
        "params": dict(trial.arm.params),
        "recipe": dict(trial.arm.recipe),
    }


def _plain(contrast: Contrast) -> dict[str, Any]:
    return {
        "name": contrast.name,
        "kind": contrast.kind,
        "weights": dict(contrast.weights),
        "aliases": list(contrast.aliases),
        "parts": [dict(part) for part in contrast.parts],
    }
