"""Search: trials over sets of plugins, then confirmatory runs of the best of them and of the
baseline on fresh seeds.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ablab.design.build import Contrast
from ablab.errors import UserError
from ablab.metrics import METRICS, goals
from ablab.plan.arm_composer import Overrides
from ablab.plan.plan import Plan, Trial
from ablab.plan.planned_arm import PlannedArm, plan_design, training_flops
from ablab.plan.planner import Planner
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Expected
from ablab.schedule.search_space import SearchSpace
from ablab.schedule.trial_source import TrialSource
from ablab.spec.search import Search
from ablab.stats.front import front
from ablab.tracking.optuna.study import Outcome, Proposer

# The search ends after this many proposals per trial, even if most of them are not a new trial
# (because they repeat another, cannot be trained, or are too large).
_PROPOSALS_PER_TRIAL = 10


class SearchSource(TrialSource):
    """Proposes trials in rounds.

    All trials of a round are proposed from the same outcomes, so that proposals do not depend on
    which trial was faster.
    """

    def __init__(self, planner: Planner, root: Path, design: Search) -> None:
        super().__init__(root, design.objectives, planner.owner)
        self.planner = planner
        self.design = design
        (start,) = planner.layout.arms.values()
        self.baseline = planner.arm(start.expression, start)
        # Planned for the validation alone: the budget of a trial may be too small.
        planner.arm(start.expression, start, Overrides(share=design.share))
        self.space = SearchSpace(design, start, planner.registry, planner.document)
        self._proposer = Proposer(
            self.space.parameters,
            [METRICS[name].direction for name in design.objectives],
            design.prune,
            population=max(4, design.trials // 4),
        )
        self._trials: dict[str, Trial] = {}  # by run key, in the order of proposals
        self._arms: dict[str, PlannedArm] = {}  # by run key
        # Proposals of the present round by run key: several may mean the same run.
        self._numbers: dict[str, list[int]] = {}
        self._outcomes: dict[str, Outcome] = {}  # by run key
        self._proposals = 0
        self.refused: dict[str, str] = {}  # the reason, by arm
        self.best: list[PlannedArm] | None = None
        """The arms that are confirmed; None until that is decided."""
        self._start_round()
        self.replay()

    def pruner(self, spec: RunSpec) -> Proposer | None:
        """Return the only proposer, which compares all trials with each other."""
        return self._proposer if self.design.prune != "none" else None

    def trial_ended(self, spec: RunSpec, outcome: Outcome) -> None:
        """Report the outcomes of a round once it is complete, and start another or confirm."""
        if spec.key in self._outcomes:
            return
        self._outcomes[spec.key] = replace(outcome, constraints=self._excess(self._arms[spec.key]))
        if len(self._outcomes) < len(self._trials):
            return
        for key, numbers in self._numbers.items():
            for number in numbers:
                self._proposer.tell(number, self._outcomes[key])
        self._numbers.clear()
        self._start_round()

    def run_finished(self, spec: RunSpec) -> None:
        """Do nothing: no decision depends on confirmatory runs."""

    def _start_round(self) -> None:
        """Propose trials until enough are new, or choose the best arms if no more will come."""
        missing = min(self.design.at_once, self.design.trials - len(self._trials))
        while missing > 0 and self._proposals < _PROPOSALS_PER_TRIAL * self.design.trials:
            if self._propose():
                missing -= 1
        if not self._trials:
            reason = next(iter(self.refused.values()), "nothing is tried")
            place = self.planner.document.at(["design"])
            raise UserError(
                f"{place}: of {self._proposals} sets that were proposed none can be trained: "
                f"{reason}"
            )
        if len(self._trials) == len(self._outcomes):
            self._confirm_best()

    def _propose(self) -> bool:
        """Ask for a proposal, and return whether it is a new trial."""
        self._proposals += 1
        number, params = self._proposer.ask(self.space.choose)
        try:
            model = self.space.model(params)
            planned = self.planner.arm(model.expression, model, Overrides(share=self.design.share))
            if planned.template.data != self.baseline.template.data:
                raise UserError("a search keeps the study's tokenizer")
        except UserError as error:
            self._refuse(number, {}, ", ".join(f"{k} {v}" for k, v in params.items()), str(error))
            return False
        excess = self._excess(planned)
        exceeded = [name for name, value in excess.items() if value > 0]
        if exceeded:
            reason = f"above the ceiling of {', '.join(exceeded)}"
            self._refuse(number, excess, model.expression, reason)
            return False
        planned = replace(planned, arm=replace(planned.arm, params=params))
        return self._add_trial(number, planned)

    def _add_trial(self, number: int, planned: PlannedArm) -> bool:
        """Add a trial, and return whether its run is a new one."""
        (run,) = planned.runs([self.design.seed], number)
        if run.key in self._outcomes:
            self._proposer.tell(number, self._outcomes[run.key])
            return False
        self._numbers.setdefault(run.key, []).append(number)
        if run.key in self._trials:
            return False
        self._trials[run.key] = Trial(planned.arm, run)
        self._arms[run.key] = planned
        self.enqueue([run])
        return True

    def _refuse(self, number: int, excess: Mapping[str, float], arm: str, reason: str) -> None:
        self.refused[arm] = reason
        self._proposer.tell(number, Outcome(None, constraints=excess))

    def _excess(self, planned: PlannedArm) -> dict[str, float]:
        """Return the share by which an arm exceeds each ceiling; negative if it is below."""
        ceilings = self.design.constraints.model_dump(exclude_none=True)
        memory = planned.account.memory_bytes
        values = {
            "parameters": planned.arm.parameters,
            "memory_bytes": memory.weights + memory.gradients + memory.optimizer,
        }
        return {name: values[name] / ceiling - 1 for name, ceiling in ceilings.items()}

    def _confirm_best(self) -> None:
        """Choose the best arms of all trials, and train them with the whole budget."""
        values = {
            key: outcome.values
            for key, outcome in self._outcomes.items()
            if outcome.values is not None
        }
        keys = front(
            values, self.design.confirm, [METRICS[name].sign for name in self.design.objectives]
        )
        self.best = [self._at_full_budget(self._trials[key]) for key in keys]
        for planned in [self.baseline, *self.best]:
            self.enqueue(planned.runs(self.planner.study.seed_list()))

    def _at_full_budget(self, trial: Trial) -> PlannedArm:
        planned = self.planner.arm(trial.arm.name, self.space.model(trial.arm.params))
        return replace(planned, arm=replace(planned.arm, params=trial.arm.params))

    def make_plan(self) -> Plan:
        """Return the baseline and, once they are chosen, the arms that are confirmed."""
        seeds = self.planner.study.seed_list()
        arms = [arm for arm in self.best or [] if arm.identity != self.baseline.identity]
        plan = plan_design(self.planner.layout, [self.baseline, *arms], lambda arm: seeds)
        base = self.baseline.arm.name
        return replace(
            plan,
            runs=plan.runs if self.best is not None else (),
            contrasts=tuple(
                Contrast(arm.arm.name, "change", {arm.arm.name: 1.0, base: -1.0}) for arm in arms
            ),
            infeasible=dict(self.refused),
            notes=(self._note(),),
            expected=self._expected(plan),
            trials=tuple(self._trials.values()),
            space=self.space.parameters,
        )

    def _expected(self, plan: Plan) -> Expected:
        """Return the number of runs and trials of the whole search; an estimate until it ends."""
        runs = plan.expected.runs
        trials = len(self._trials)
        if self.best is None:
            runs = (1 + self.design.confirm) * len(self.planner.study.seed_list())
            trials = self.design.trials
        trial_flops = training_flops(trial.arm for trial in self._trials.values())
        run_flops = self.baseline.arm.training_flops
        flops = None
        if trial_flops is not None and run_flops is not None:
            flops = trial_flops * self.design.trials / len(self._trials) + runs * run_flops
        return Expected(runs, trials, flops)

    def _note(self) -> str:
        design = self.design
        budget = f"{100 * design.share:g} % of the budget, seed {design.seed}"
        return (
            f"trials: {design.trials} over {', '.join(self.space.parameters)}, for "
            f"{goals(design.objectives)}; {budget}; "
            f"then at most {design.confirm} arms beside {self.baseline.arm.name} on the study's "
            "seeds"
        )
