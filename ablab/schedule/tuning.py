"""Tuning: the same number of trials for every arm, then the confirmatory runs of each arm with its
own best recipe, and of all arms with one recipe.

If the learning rate alone is tuned, the best is read from the response surface of all arms
(`lr_tuning`). Otherwise it is the best trial.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablab.metrics import METRICS
from ablab.plan.arm_composer import Overrides
from ablab.plan.plan import Plan, SharedRecipe, Trial
from ablab.plan.planned_arm import PlannedArm, plan_design, training_flops
from ablab.plan.planner import Planner
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Expected
from ablab.schedule.arm_trials import ArmTrials
from ablab.schedule.initial_points import Point, even_points, intervals
from ablab.schedule.lr_tuning import LrTuning
from ablab.schedule.seeds import ConfirmatoryRuns
from ablab.schedule.shared_recipe import (
    common_point,
    shared_recipe,
    with_shared_recipe,
    with_undecided_recipe,
    without_shared_recipe,
)
from ablab.schedule.source import round_robin
from ablab.schedule.trial_notes import duplicate_notes, trial_notes
from ablab.schedule.trial_source import TrialSource
from ablab.spec.trial_share import trial_share
from ablab.spec.tune import Range, Tune
from ablab.tracking.optuna.study import Interval, Outcome, Proposer

# The first trials fill the space evenly. The sampler proposes later ones from their outcomes.
_EVEN_TRIALS = 10


def first_trials(tune: Tune) -> int:
    """Return the number of trials of each arm that depend on no outcome."""
    if not tune.by_surface and any(isinstance(values, Range) for values in tune.space().values()):
        return min(tune.trials, _EVEN_TRIALS)
    # Lists can be tried evenly to the end, while the sampler would repeat points.
    return tune.trials


class TuningSource(TrialSource):
    """Hands out the trials of every arm, then its confirmatory runs.

    The trials of an arm end before its runs begin. Arms wait for each other only where they are
    tuned by one response surface.
    """

    def __init__(self, planner: Planner, root: Path) -> None:
        super().__init__(root, [planner.study.metric], planner.owner)
        assert planner.study.tune is not None
        self.planner = planner
        self.tune = planner.study.tune
        self._metric = METRICS[planner.study.metric]
        self._confirmatory = ConfirmatoryRuns(planner, root)
        self._shared_recipe: SharedRecipe | None = None
        self._share = trial_share(planner.study, len(planner.layout.arms))
        points = self._first_points()
        self._lr: LrTuning | None = None
        if self.tune.by_surface:
            grid = [point["lr"] for point in points]
            self._lr = LrTuning(planner.study, grid, planner.layout.baseline)
        self._arms = {
            name: ArmTrials(
                name, model, planner.arm(name, model), self._metric, self._new_proposer()
            )
            for name, model in planner.layout.arms.items()
        }
        for point in points:
            for arm in self._arms.values():
                self._propose(arm, point)
        self.replay()

    def _first_points(self) -> list[Point]:
        """Return the points at which the trials of every arm begin."""
        return even_points(self.tune.space(), first_trials(self.tune))

    def pruner(self, spec: RunSpec) -> Proposer | None:
        """Return the proposer of the arm: trials are compared with others of the same arm."""
        return self._arms[spec.arm].proposer if self.tune.prune != "none" else None

    def trial_ended(self, spec: RunSpec, outcome: Outcome) -> None:
        """Report the outcome to the sampler, and go on with another trial or the arm's runs."""
        arm = self._arms[spec.arm]
        assert spec.trial is not None
        if spec.trial in arm.outcomes:
            return
        arm.outcomes[spec.trial] = outcome
        arm.proposer.tell(spec.trial, outcome)
        if self._lr is not None:
            if all(other.ended for other in self._arms.values()):
                self._refine_or_confirm(self._lr)
        elif len(arm.outcomes) == self.tune.trials:
            self._confirm(arm, arm.best_point())
        elif len(arm.outcomes) == len(arm.trials):
            self._propose(arm, None)

    def run_finished(self, spec: RunSpec) -> None:
        """Add seeds where the verdicts need them."""
        runs = self._confirmatory.advance(spec.key)
        if runs is not None:
            self.enqueue(round_robin(runs))

    def _propose(self, arm: ArmTrials, point: Point | None) -> None:
        """Add a trial of the arm, at `point` or, if that is None, where the sampler proposes."""
        number, point = arm.proposer.ask(
            lambda suggest: [suggest(name) for name in self.tune.space()], point
        )
        planned = self.planner.arm(arm.name, arm.model, Overrides(point, self._share))
        (run,) = planned.runs([self.tune.seed], number)
        arm.trials.append(Trial(planned.arm, run))
        self.enqueue([run])

    def _new_proposer(self) -> Proposer:
        return Proposer(self._parameters(), [self._metric.direction], self.tune.prune)

    def _refine_or_confirm(self, tuning: LrTuning) -> None:
        """Try more points around the optima of all arms, or choose the best recipe of each."""
        arms = list(self._arms.values())
        points = tuning.refine(arms)
        for arm in arms:
            for point in points.get(arm.name, ()):
                self._propose(arm, point)
        if points:
            return
        surface = tuning.surface(arms)
        self._confirmatory.tuning = surface
        for arm in arms:
            if surface is not None and arm.name in surface.arms:
                self._confirm(arm, {"lr": surface.optimum(arm.name)})
            else:
                self._confirm(arm, arm.best_point())

    def _confirm(self, arm: ArmTrials, params: Point | None) -> None:
        """Choose the arm's recipe, and after the last arm the recipe for all.

        The study's own recipe stands if `params` is None, since no trial has a value.
        """
        arm.best = arm.untuned
        if params is not None:
            arm.best = self.planner.arm(arm.name, arm.model, Overrides(params))
        self.enqueue(self._confirmatory.add(arm.best))
        if self._all_decided:
            if self._has_shared_recipe:
                self._confirm_shared_recipe()
            self.enqueue(round_robin(self._confirmatory.advance() or []))

    @property
    def _all_decided(self) -> bool:
        """Whether all trials of all arms have ended."""
        return all(arm.best is not None for arm in self._arms.values())

    @property
    def _has_shared_recipe(self) -> bool:
        """Whether all arms are trained with one recipe as well."""
        return self.tune.shared and len(self._arms) > 1

    def _confirm_shared_recipe(self) -> None:
        """Choose one recipe for all arms. An arm whose own best it is already has the runs."""
        arms = list(self._arms.values())
        point = common_point([arm.values() for arm in arms], self._metric)
        surface = self._lr.surface(arms) if self._lr is not None else None
        if surface is not None and len(surface.arms) == len(arms):
            point = {"lr": surface.common_optimum()}
        if point is None:
            return
        overrides = Overrides(point)
        planned = [self.planner.arm(arm.name, arm.model, overrides) for arm in arms]
        seeds = self._confirmatory.first
        self._shared_recipe = shared_recipe(point, planned, seeds)
        best = [arm.best for arm in arms if arm.best is not None]
        enqueued = {run.key for arm in best for run in arm.runs(seeds)}
        self.enqueue(
            round_robin([run for run in self._shared_recipe.runs if run.key not in enqueued])
        )

    def make_plan(self) -> Plan:
        """Return the plan as far as it is decided.

        Arms whose trials have not ended have the study's recipe and no runs.
        """
        arms = [arm.best or arm.untuned for arm in self._arms.values()]
        plan = plan_design(self.planner.layout, arms, self._confirmatory.seeds)
        decided = {arm.name for arm in self._arms.values() if arm.best is not None}
        plan = replace(
            plan,
            runs=tuple(run for run in plan.runs if run.arm in decided),
            expected=self._expected(plan, arms),
            notes=(
                *plan.notes,
                *trial_notes(self.planner.study, len(self._arms)),
                *self._confirmatory.notes,
                *duplicate_notes(self._arms.values()),
            ),
            trials=tuple(trial for arm in self._arms.values() for trial in arm.trials),
            space=self._parameters(),
        )
        return self._with_shared_recipe(plan) if self._has_shared_recipe else plan

    def _with_shared_recipe(self, plan: Plan) -> Plan:
        seeds = len(self._confirmatory.first)
        if not self._all_decided:
            return with_undecided_recipe(plan, seeds, self._metric)
        if self._shared_recipe is None:
            return without_shared_recipe(plan)
        return with_shared_recipe(plan, self._shared_recipe, seeds, self._metric)

    def _expected(self, plan: Plan, arms: Sequence[PlannedArm]) -> Expected:
        """Return the number of runs and trials, which is an estimate until all trials are proposed.

        Trials of an arm whose own plugins write what is tuned may be the same run.
        """
        trials = [trial for arm in self._arms.values() for trial in arm.trials]
        unique = {trial.run.key: trial.arm for trial in trials}
        count = round(len(unique) / len(trials) * self._trial_count)
        run_flops = plan.expected.flops
        trial_flops = training_flops(unique.values())
        flops = None
        if run_flops is not None and trial_flops is not None:
            flops = run_flops + count / len(unique) * trial_flops
        return Expected(plan.expected.runs, count, flops, self._confirmatory.most(arms))

    @property
    def _trial_count(self) -> int:
        """The number of trials of all arms; the largest possible one until all are proposed."""
        if self._lr is not None and self._lr.refined:
            return sum(len(arm.trials) for arm in self._arms.values())
        seeds = len(self.planner.study.seed_list())
        return len(self._arms) * self.tune.most_trials(seeds)

    def _parameters(self) -> dict[str, Sequence[Any] | Interval]:
        """Return the values that each option may take in a trial."""
        if self._lr is not None:
            return {"lr": self._lr.interval()}
        return {name: intervals(values) for name, values in self.tune.space().items()}
