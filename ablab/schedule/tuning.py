"""Tuning: the same number of trials for every arm, then each arm's confirming runs with the best of
its own, and all arms' with one recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablab.arch.composition.expression import Model
from ablab.metrics import METRICS, Metric
from ablab.plan.plan import Plan, SharedRecipe, Trial
from ablab.plan.planner import Choice, PlannedArm, Planner, plan_of, training_flops
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Expected
from ablab.schedule.adaptive import Adaptive
from ablab.schedule.initial_points import Point, spread
from ablab.schedule.seeds import Confirming
from ablab.schedule.shared_recipe import Values, common_point, shared_recipe, sharing
from ablab.schedule.source import in_turn
from ablab.spec.tune import Range, Tune
from ablab.tracking.optuna.study import Interval, Outcome, Proposer

# Trials fill the space evenly up to here; the sampler proposes later ones from what came before.
_EVEN = 10


@dataclass
class ArmTrials:
    """The trials of one arm. `best`: the arm as it is confirmed, once all trials ended; `untuned`
    where none came to a value.
    """

    name: str
    model: Model
    untuned: PlannedArm
    metric: Metric
    trials: list[Trial] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    proposer: Proposer | None = None
    best: PlannedArm | None = None

    def winner(self) -> Trial | None:
        """The trial with the best value; the earlier one of equals."""
        values = {
            i: found.values[0]
            for i, found in sorted(self.outcomes.items())
            if found.values is not None
        }
        return self.trials[self.metric.best(values)] if values else None

    def values(self) -> Values:
        """The value at each point that came to one, in the order of the trials."""
        found = [
            (self.trials[i].arm.params, self.outcomes[i].values) for i in sorted(self.outcomes)
        ]
        return {tuple(params.items()): values[0] for params, values in found if values is not None}


class Tuned(Adaptive):
    """Trials of every arm, then its runs. An arm's trials end before its runs begin; arms do not
    wait for each other.
    """

    def __init__(self, planner: Planner, root: Path) -> None:
        super().__init__(root, [planner.study.metric], planner.owner)
        assert planner.study.tune is not None
        self.planner, self.tune = planner, planner.study.tune
        self._metric = METRICS[planner.study.metric]
        self._confirming = Confirming(planner, root)
        self._shared: SharedRecipe | None = None
        self._arms = {
            name: ArmTrials(name, m, planner.arm(name, m), self._metric)
            for name, m in planner.layout.arms.items()
        }
        # Lists can be tried evenly to the end; the sampler would try the same again.
        finite = not any(isinstance(values, Range) for values in self.tune.space().values())
        for point in spread(
            self.tune.space(), self.tune.trials if finite else min(self.tune.trials, _EVEN)
        ):
            for arm in self._arms.values():
                self._propose(arm, point)
        self.settle()

    def pruner(self, spec: RunSpec) -> Proposer | None:
        """Its arm's: trials are held against the others of their arm."""
        return self._arms[spec.arm].proposer if self.tune.prune != "none" else None

    def noted(self, spec: RunSpec, outcome: Outcome) -> None:
        """Tells the sampler, and goes on: with another trial, or with the arm's runs."""
        arm = self._arms[spec.arm]
        assert spec.trial is not None
        if spec.trial in arm.outcomes:
            return
        arm.outcomes[spec.trial] = outcome
        if arm.proposer is not None:
            arm.proposer.tell(spec.trial, outcome)
        if len(arm.outcomes) == self.tune.trials:
            self._decide(arm)
        elif len(arm.outcomes) == len(arm.trials):
            self._propose(arm, None)

    def confirmed(self, spec: RunSpec) -> None:
        """More seeds, where the verdicts need them."""
        if (more := self._confirming.advance(spec.key)) is not None:
            self.wait(in_turn(more))

    def _propose(self, arm: ArmTrials, point: Point | None) -> None:
        """The arm's next trial: at `point`, or where the sampler says."""
        tune, number = self.tune, len(arm.trials)
        if arm.proposer is None and (tune.prune != "none" or tune.trials > _EVEN):
            arm.proposer = Proposer(_space(tune), [self._metric.direction], tune.prune)
        if arm.proposer is not None:
            _, point = arm.proposer.ask(
                lambda suggest: [suggest(name) for name in tune.space()], point
            )
        assert point is not None
        planned = self.planner.arm(arm.name, arm.model, Choice(point, tune.share))
        (run,) = planned.runs([tune.seed], number)
        arm.trials.append(Trial(planned.arm, run))
        self.wait([run])

    def _decide(self, arm: ArmTrials) -> None:
        winner = arm.winner()
        arm.best = (
            self.planner.arm(arm.name, arm.model, Choice(winner.arm.params))
            if winner
            else arm.untuned
        )
        self.wait(self._confirming.add(arm.best))
        if self._through:
            self._share()
            self.wait(in_turn(self._confirming.advance() or []))

    @property
    def _through(self) -> bool:
        """Whether all trials of all arms ended."""
        return all(arm.best is not None for arm in self._arms.values())

    def _share(self) -> None:
        """One recipe for all arms; an arm whose own best it is has the runs already."""
        point = (
            common_point([arm.values() for arm in self._arms.values()], self._metric)
            if self._shares
            else None
        )
        if point is None:
            return
        arms = [self.planner.arm(arm.name, arm.model, Choice(point)) for arm in self._arms.values()]
        self._shared = shared_recipe(point, arms, self._confirming.first)
        own = {
            run.key
            for arm in self._arms.values()
            if arm.best
            for run in arm.best.runs(self._confirming.first)
        }
        self.wait(in_turn([run for run in self._shared.runs if run.key not in own]))

    @property
    def _shares(self) -> bool:
        return self.tune.shared and len(self._arms) > 1

    def planned(self) -> Plan:
        """The plan as far as it is decided: arms that are not have the study's recipe still, and no
        runs.
        """
        arms = [arm.best or arm.untuned for arm in self._arms.values()]
        plan = plan_of(self.planner.layout, arms, self._confirming.seeds)
        decided = {arm.name for arm in self._arms.values() if arm.best is not None}
        trials = [trial for arm in self._arms.values() for trial in arm.trials]
        distinct = {trial.run.key: trial.arm for trial in trials}
        count = round(len(distinct) / len(trials) * len(arms) * self.tune.trials)
        runs, tried = plan.expected.flops, training_flops(distinct.values())
        flops = None if runs is None or tried is None else runs + count / len(distinct) * tried
        plan = replace(
            plan,
            runs=tuple(run for run in plan.runs if run.arm in decided),
            expected=Expected(plan.expected.runs, count, flops, self._confirming.most(arms)),
            notes=(*plan.notes, self._told(), *self._confirming.notes, *self._alike()),
            trials=tuple(trials),
            space=_space(self.tune),
        )
        return (
            sharing(plan, self._shared, self._confirming.first, self._metric, through=self._through)
            if self._shares
            else plan
        )

    def _alike(self) -> list[str]:
        """Arms whose own plugins write what is tuned: some of their trials are the same run."""
        counts = {
            arm.name: (len({t.run.key for t in arm.trials}), len(arm.trials))
            for arm in self._arms.values()
        }
        return [
            (
                f"{name}: only {runs} of {trials} trials differ, since its own plugins write "
                "what is tuned"
            )
            for name, (runs, trials) in counts.items()
            if runs < trials
        ]

    def _told(self) -> str:
        tune = self.tune
        options = "; ".join(f"{name} {_values(values)}" for name, values in tune.space().items())
        return (
            f"trials: {tune.trials} of each arm over {options}; {100 * tune.share:g} % of the "
            f"budget, seed {tune.seed}"
        )


def _values(values: Any) -> str:
    """A list or a range in words."""
    return (
        f"{values.low:g} to {values.high:g}"
        if isinstance(values, Range)
        else ", ".join(map(str, values))
    )


def _space(tune: Tune) -> dict[str, Sequence[Any] | Interval]:
    return {name: intervals(values) for name, values in tune.space().items()}


def intervals(values: Any) -> Any:
    """A range as an interval; lists as they are."""
    return Interval(values.low, values.high, values.log) if isinstance(values, Range) else values
