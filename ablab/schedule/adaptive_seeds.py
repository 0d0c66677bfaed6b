"""Runs of a study that is not tuned, whose seeds are added until its verdicts are decided."""

from dataclasses import replace
from pathlib import Path

from ablab.plan.plan import Plan
from ablab.plan.planned_arm import plan_design
from ablab.plan.planner import Planner
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.schedule.seeds import ConfirmatoryRuns
from ablab.schedule.source import FixedSource, round_robin


class AdaptiveSeedsSource(FixedSource):
    """The first seeds of every arm, then more for arms whose verdicts are open.

    While a run of a look has failed or was cancelled, no more seeds follow.
    """

    def __init__(self, planner: Planner, root: Path) -> None:
        self._layout = planner.layout
        self._arms = [planner.arm(name, model) for name, model in planner.layout.arms.items()]
        self._confirmatory = ConfirmatoryRuns(planner, root)
        for arm in self._arms:
            self._confirmatory.add(arm)
        self._confirmatory.advance()
        super().__init__(self._make_plan(), root)

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Look at the verdicts once the last run of a look is finished."""
        super().ended(spec, report)
        if not Record(self._root, spec.key).finished:
            return
        runs = self._confirmatory.advance(spec.key)
        if runs is not None:
            self._waiting.extend(round_robin(runs))
            self.plan = self._make_plan()
            self.changed(self.plan)

    def _make_plan(self) -> Plan:
        plan = plan_design(self._layout, self._arms, self._confirmatory.seeds)
        expected = replace(plan.expected, most=self._confirmatory.most(self._arms))
        return replace(plan, expected=expected, notes=(*plan.notes, *self._confirmatory.notes))
