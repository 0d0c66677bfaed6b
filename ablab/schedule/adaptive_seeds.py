"""A study that is not tuned, whose seeds are added until its verdicts are decided."""

from dataclasses import replace
from pathlib import Path

from ablab.plan.plan import Plan
from ablab.plan.planner import Planner, plan_of
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.schedule.seeds import Confirming
from ablab.schedule.source import Listed, in_turn


class Growing(Listed):
    """The first seeds of every arm, then more where verdicts are open. A run that failed or was
    cancelled keeps it waiting.
    """

    def __init__(self, planner: Planner, root: Path) -> None:
        self._layout = planner.layout
        self._arms = [planner.arm(name, model) for name, model in planner.layout.arms.items()]
        self._confirming = Confirming(planner, root)
        for arm in self._arms:
            self._confirming.add(arm)
        self._confirming.advance()
        super().__init__(self._planned(), root)

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Looks at the verdicts once the last run of a look is finished."""
        super().ended(spec, report)
        if not Record(self._root, spec.key).finished:
            return
        if (more := self._confirming.advance(spec.key)) is not None:
            self._waiting.extend(in_turn(more))
            self.plan = self._planned()
            self.changed(self.plan)

    def _planned(self) -> Plan:
        plan = plan_of(self._layout, self._arms, self._confirming.seeds)
        expected = replace(plan.expected, most=self._confirming.most(self._arms))
        return replace(plan, expected=expected, notes=(*plan.notes, *self._confirming.notes))
