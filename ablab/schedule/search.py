"""Search: trials over plugin sets, then the best of them again beside the baseline, on fresh
seeds.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ablab.design.build import Contrast
from ablab.errors import UserError
from ablab.metrics import METRICS, goals
from ablab.plan.plan import Plan, Trial
from ablab.plan.planner import Choice, PlannedArm, Planner, plan_of, training_flops
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Expected
from ablab.schedule.adaptive import Adaptive
from ablab.schedule.search_space import Space
from ablab.spec.search import Search
from ablab.stats.front import front
from ablab.tracking.optuna.study import Outcome, Proposer

# Proposals that are no new trial (seen before, illegal, too large) may be this many times the
# trials.
_PATIENCE = 10


class Searched(Adaptive):
    """Proposes trials in rounds: those of a round know the same, so that what is proposed does not
    hang on who was faster.
    """

    def __init__(self, planner: Planner, root: Path, design: Search) -> None:
        super().__init__(root, design.objectives, planner.owner)
        self.planner, self.design = planner, design
        (start,) = planner.layout.arms.values()
        self.baseline = planner.arm(start.expression, start)
        planner.arm(start.expression, start, Choice(share=design.share))  # a trial's budget must do
        self.space = Space(design, start, planner.registry, planner.document)
        population = max(4, design.trials // 4)
        self._proposer = Proposer(
            self.space.parameters,
            [METRICS[name].direction for name in design.objectives],
            design.prune,
            population,
        )
        self._trials: dict[str, Trial] = {}  # by run key, in the order of proposals
        self._arms: dict[str, PlannedArm] = {}
        self._numbers: dict[str, list[int]] = {}  # proposals that mean the same run
        self._outcomes: dict[str, Outcome] = {}
        self._asked = 0
        self.refused: dict[str, str] = {}
        self.members: list[PlannedArm] | None = None
        self._round()
        self.settle()

    def pruner(self, spec: RunSpec) -> Proposer | None:
        """One for all trials."""
        return self._proposer if self.design.prune != "none" else None

    def noted(self, spec: RunSpec, outcome: Outcome) -> None:
        """Tells the sampler; a round that is through is followed by another, or by the confirming
        runs.
        """
        if spec.key in self._outcomes:
            return
        self._outcomes[spec.key] = replace(outcome, constraints=self._excess(self._arms[spec.key]))
        if len(self._outcomes) == len(self._trials):
            for key, numbers in self._numbers.items():
                for number in numbers:
                    self._proposer.tell(number, self._outcomes[key])
            self._numbers.clear()
            self._round()

    def confirmed(self, spec: RunSpec) -> None:
        """Nothing depends on it."""

    def _round(self) -> None:
        """Proposes trials until enough are new; decides where none will come."""
        wanted = min(self.design.at_once, self.design.trials - len(self._trials))
        while wanted > 0 and self._asked < _PATIENCE * self.design.trials:
            wanted -= self._propose()
        if not self._trials:
            reason = next(iter(self.refused.values()), "nothing is tried")
            where = self.planner.document.at(["design"])
            raise UserError(
                f"{where}: of {self._asked} sets that were proposed none can be trained: {reason}"
            )
        if len(self._trials) == len(self._outcomes):
            self._decide()

    def _propose(self) -> bool:
        """Asks for a trial; whether it is a new one."""
        self._asked += 1
        number, params = self._proposer.ask(self.space.choose)
        try:
            model = self.space.model(params)
            planned = self.planner.arm(model.expression, model, Choice(share=self.design.share))
            if planned.template.data != self.baseline.template.data:
                raise UserError("a search keeps the study's tokenizer")
        except UserError as error:
            self._refuse(number, {}, ", ".join(f"{k} {v}" for k, v in params.items()), str(error))
            return False
        excess = self._excess(planned)
        if broken := [name for name, value in excess.items() if value > 0]:
            self._refuse(
                number, excess, model.expression, f"above the ceiling of {', '.join(broken)}"
            )
            return False
        planned = replace(planned, arm=replace(planned.arm, params=params))
        (run,) = planned.runs([self.design.seed], number)
        if run.key in self._outcomes:
            self._proposer.tell(number, self._outcomes[run.key])
            return False
        self._numbers.setdefault(run.key, []).append(number)
        if run.key in self._trials:
            return False
        self._trials[run.key], self._arms[run.key] = Trial(planned.arm, run), planned
        self.wait([run])
        return True

    def _refuse(self, number: int, excess: Mapping[str, float], what: str, reason: str) -> None:
        self.refused[what] = reason
        self._proposer.tell(number, Outcome(None, constraints=excess))

    def _excess(self, planned: PlannedArm) -> dict[str, float]:
        """By how much an arm exceeds each ceiling, as a share of it."""
        ceilings = self.design.constraints.model_dump(exclude_none=True)
        memory = planned.account.memory_bytes
        held = {
            "parameters": planned.arm.parameters,
            "memory_bytes": memory.weights + memory.gradients + memory.optimizer,
        }
        return {name: held[name] / ceiling - 1 for name, ceiling in ceilings.items()}

    def _decide(self) -> None:
        """The best arms of all trials, at the whole budget."""
        values = {
            key: found.values for key, found in self._outcomes.items() if found.values is not None
        }
        chosen = front(
            values, self.design.confirm, [METRICS[name].sign for name in self.design.objectives]
        )
        self.members = [self._whole(self._trials[key]) for key in chosen]
        for planned in [self.baseline, *self.members]:
            self.wait(planned.runs(self.planner.study.seed_list()))

    def _whole(self, trial: Trial) -> PlannedArm:
        planned = self.planner.arm(trial.arm.name, self.space.model(trial.arm.params))
        return replace(planned, arm=replace(planned.arm, params=trial.arm.params))

    def planned(self) -> Plan:
        """The baseline and, once it is decided, the arms that are confirmed."""
        seeds, trials = self.planner.study.seed_list(), tuple(self._trials.values())
        members = [m for m in self.members or [] if m.shared != self.baseline.shared]
        plan = plan_of(self.planner.layout, [self.baseline, *members], lambda arm: seeds)
        base = self.baseline.arm.name
        tried, each = (
            training_flops(trial.arm for trial in trials),
            self.baseline.arm.training_flops,
        )
        runs = (
            plan.expected.runs
            if self.members is not None
            else (1 + self.design.confirm) * len(seeds)
        )
        count = len(trials) if self.members is not None else self.design.trials
        flops = (
            None
            if tried is None or each is None
            else tried * self.design.trials / len(trials) + runs * each
        )
        return replace(
            plan,
            runs=plan.runs if self.members is not None else (),
            contrasts=tuple(
                Contrast(m.arm.name, "change", {m.arm.name: 1.0, base: -1.0}) for m in members
            ),
            infeasible=dict(self.refused),
            notes=(self._told(),),
            expected=Expected(runs, count, flops),
            trials=trials,
            space=self.space.parameters,
        )

    def _told(self) -> str:
        design = self.design
        budget = f"{100 * design.share:g} % of the budget, seed {design.seed}"
        return (
            f"trials: {design.trials} over {', '.join(self.space.parameters)}, for "
            f"{goals(design.objectives)}; {budget}; "
            f"then at most {design.confirm} arms beside {self.baseline.arm.name} on the study's "
            "seeds"
        )
