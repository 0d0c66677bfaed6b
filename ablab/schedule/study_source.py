"""The source of a whole study, which combines those of its parts for one driver."""

from collections.abc import Sequence

from ablab.design.expand import Part
from ablab.plan.plan import PartPlan, Plan, StudyPlan
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.study_content import Expected
from ablab.schedule.source import Source, ignore

Member = tuple[Part, Source[Plan]]


class StudySource(Source[StudyPlan]):
    """Hands out the runs of the sources of all parts, those of the first part first.

    Parts do not wait for each other: while one has no run to hand out, the next one's are trained.
    A run that several parts need is trained once.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._parts = [part for part, _ in members]
        self._sources = [source for _, source in members]
        self.changed = ignore
        # The sources that each run was handed out by, with the specification each gave it.
        self._owners: dict[str, list[tuple[Source[Plan], RunSpec]]] = {}
        self._in_progress: set[str] = set()
        self._finished: dict[str, AttemptOutcome] = {}
        for source in self._sources:
            source.changed = self._part_changed
        self.plan = self._make_plan()

    def next(self) -> RunSpec | None:
        """Return the next run of the first part that has one.

        A part that needs a run which is in progress for another learns how it ended.
        """
        for source in self._sources:
            while (spec := source.next()) is not None:
                self._owners.setdefault(spec.key, []).append((source, spec))
                if spec.key in self._finished:
                    source.ended(spec, self._finished[spec.key])
                elif spec.key not in self._in_progress:
                    self._in_progress.add(spec.key)
                    return spec
        return None

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Let each part look at its own runs."""
        for source in self._sources:
            runs = [
                spec
                for run in running
                for owner, spec in self._owners.get(run.key, ())
                if owner is source
            ]
            source.watch(runs)

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Tell every part that needed the run."""
        self._in_progress.discard(spec.key)
        if report.state == RunState.FINISHED:
            self._finished[spec.key] = report
        latest = {id(source): (source, run) for source, run in self._owners.get(spec.key, ())}
        for source, run in latest.values():
            source.ended(run, report)

    @property
    def done(self) -> bool:
        """Whether no part will hand out more."""
        return all(source.done for source in self._sources)

    def _part_changed(self, plan: Plan) -> None:
        self.plan = self._make_plan()
        self.changed(self.plan)

    def _make_plan(self) -> StudyPlan:
        plans = [source.plan for source in self._sources]
        parts = [
            PartPlan(part.label, part.study, plan)
            for part, plan in zip(self._parts, plans, strict=True)
        ]
        return StudyPlan(tuple(parts), _expected(plans))


def _expected(plans: Sequence[Plan]) -> Expected:
    """Return the number of runs and trials of all parts, runs of several parts once."""
    expected = [plan.expected for plan in plans]
    keys = [plan.unique.keys() for plan in plans]
    repeated = sum(map(len, keys)) - len(set().union(*keys))
    most = [e.runs if e.most is None else e.most for e in expected]
    flops = [e.flops for e in expected if e.flops is not None]
    return Expected(
        runs=sum(e.runs for e in expected) - repeated,
        trials=sum(e.trials for e in expected),
        # A part whose budget is in seconds has no count.
        flops=sum(flops) if len(flops) == len(expected) else None,
        most=sum(most) - repeated if any(e.most is not None for e in expected) else None,
    )
