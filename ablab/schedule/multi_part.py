"""The runs of several parts of a study from one source, so that one driver trains them all."""

from collections.abc import Sequence
from dataclasses import replace

from ablab.design.expand import Part
from ablab.plan.plan import Expected, PartPlan, Plan, SharedRecipe
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.schedule.source import Source, ignore

Member = tuple[Part, str, Source]


class Joined(Source):
    """Hands out the runs of `members` (a part, its baseline, its source), the first part's first.
    Parts do not wait for each other: what one can't go on with leaves the workers to the next. A
    run that two parts want is trained once.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members, self.changed = tuple(members), ignore
        self._wanted: dict[str, list[tuple[Source, RunSpec]]] = {}  # who handed out which run
        self._under_way: set[str] = set()
        self._finished: dict[str, AttemptOutcome] = {}
        for _, _, source in self._members:
            source.changed = self._replanned
        self.plan = self._joined()

    def next(self) -> RunSpec | None:
        """The next run of the first part that has one. Of one that is under way for another part
        the end is told to both.
        """
        for _, _, source in self._members:
            while (spec := source.next()) is not None:
                self._wanted.setdefault(spec.key, []).append((source, spec))
                if spec.key in self._finished:
                    source.ended(spec, self._finished[spec.key])
                elif spec.key not in self._under_way:
                    self._under_way.add(spec.key)
                    return spec
        return None

    def watch(self, running: Sequence[RunSpec]) -> None:
        """Each part looks at its own."""
        for _, _, source in self._members:
            own = [
                spec
                for run in running
                for owner, spec in self._wanted.get(run.key, ())
                if owner is source
            ]
            source.watch(own)

    def ended(self, spec: RunSpec, report: AttemptOutcome) -> None:
        """Told to every part that wanted it."""
        self._under_way.discard(spec.key)
        if report.status == "finished":
            self._finished[spec.key] = report
        latest = {id(source): (source, own) for source, own in self._wanted.get(spec.key, ())}
        for source, own in latest.values():
            source.ended(own, report)

    @property
    def done(self) -> bool:
        """Whether no part has more."""
        return all(source.done for _, _, source in self._members)

    def _replanned(self, plan: Plan) -> None:
        self.plan = self._joined()
        self.changed(self.plan)

    def _joined(self) -> Plan:
        parts = [
            PartPlan(part.label, part.study, source.plan, baseline)
            for part, baseline, source in self._members
        ]
        plans = [part.plan for part in parts]
        expected = [plan.expected for plan in plans]
        shared = sum(len(plan.unique) for plan in plans) - len(
            {key for plan in plans for key in plan.unique}
        )
        return replace(
            plans[0],
            arms=tuple(arm for plan in plans for arm in plan.arms),
            runs=tuple(run for plan in plans for run in plan.runs),
            trials=tuple(trial for plan in plans for trial in plan.trials),
            contrasts=(),
            infeasible={name: reason for plan in plans for name, reason in plan.infeasible.items()},
            data={key: data for plan in plans for key, data in plan.data.items()},
            expected=Expected(
                runs=sum(e.runs for e in expected) - shared,
                trials=sum(e.trials for e in expected),
                flops=_sum(expected),
                most=sum(e.runs if e.most is None else e.most for e in expected) - shared,
            ),
            shared=_alike(plans),
            notes=tuple(dict.fromkeys(note for plan in plans for note in plan.notes)),
            parts=tuple(parts),
        )


def _sum(expected: Sequence[Expected]) -> float | None:
    """Training FLOPs of all; None where the clock decides in one."""
    known = [e.flops for e in expected if e.flops is not None]
    return sum(known) if len(known) == len(expected) else None


def _alike(plans: Sequence[Plan]) -> SharedRecipe | None:
    """The runs of each part's one recipe for all arms; the recipes are the parts' own."""
    shared = [plan.shared for plan in plans if plan.shared is not None]
    arms, runs = (
        tuple(arm for own in shared for arm in own.arms),
        tuple(run for own in shared for run in own.runs),
    )
    return SharedRecipe({}, arms, runs) if shared else None
