"""The content of a study's record, from the study and its plan."""

from ablab.plan.plan import PartPlan, StudyPlan, Trial
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import (
    PartContent,
    RunEntry,
    SharedRuns,
    Sources,
    StudyContent,
    TrialEntry,
)
from ablab.records.study_record import StudyRecord
from ablab.spec.study import Study


def study_content(
    record: StudyRecord, study: Study, plan: StudyPlan, sources: Sources
) -> StudyContent:
    """Return the content of a study's record, for the plan as far as it is decided."""
    return StudyContent(
        name=record.name,
        revision=record.revision,
        study=study,
        parts=tuple(_part(part) for part in plan.parts),
        expected=plan.expected,
        sources=sources,
    )


def _part(part: PartPlan) -> PartContent:
    plan = part.plan
    recipe = plan.shared_recipe
    return PartContent(
        label=part.label,
        study=part.study,
        baseline=plan.baseline,
        arms=plan.arms,
        runs=tuple(map(_run, plan.runs)),
        trials=tuple(map(_trial, plan.trials)),
        contrasts=plan.contrasts,
        expected=plan.expected,
        infeasible=plan.infeasible,
        notes=plan.notes,
        spare=plan.spare,
        shared=SharedRuns(recipe.params, tuple(map(_run, recipe.runs))) if recipe else None,
    )


def _run(run: RunSpec) -> RunEntry:
    return RunEntry(run.arm, run.seed, run.key)


def _trial(trial: Trial) -> TrialEntry:
    run = trial.run
    assert run.trial is not None
    return TrialEntry(run.arm, run.seed, run.key, run.trial, trial.arm.params, trial.arm.recipe)
