"""The conformance suite for run sources.

A source's own tests derive from `SourceConformance`, say how the source is made, and how a run is
trained:

    class TestMine(SourceConformance):
        @pytest.fixture
        def make_source(self):
            return lambda root: Mine(..., root)

        def train(self, root, spec):
            Record(root, spec.key).finish({...})

`root` is the home's folder of records. The source must depend on nothing else that changes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ablab.plan.plan import Plan
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.source import Source

MakeSource = Callable[[Path], Source]
_FINISHED = AttemptOutcome(RunState.FINISHED, busy_seconds=1.0)
_MOST_RUNS = 10_000


class SourceConformance:
    """Inherit from it in a test module, override the fixture `make_source`, and define `train`."""

    @pytest.fixture
    def make_source(self) -> MakeSource:
        """Return a function that makes the source for a folder of records."""
        raise NotImplementedError

    def train(self, root: Path, spec: RunSpec) -> None:
        """Write the result of a finished run to its record."""
        raise NotImplementedError

    def drive(self, source: Source, root: Path, *, slots: int = 1, reports: int = 1) -> list[str]:
        """Train what the source hands out, `slots` runs at a time, reporting each end `reports`
        times, until it is done. Return the keys in the order in which they were handed out.

        As a driver does, report runs that failed or were cancelled before without training them.
        """
        keys: list[str] = []
        while not source.done:
            running: list[RunSpec] = []
            while len(running) < slots:
                spec = source.next()
                if spec is None:
                    break
                Record(root, spec.key).create(spec)
                running.append(spec)
            keys += [spec.key for spec in running]
            assert running or source.done, "it is not done, but has no run while none is under way"
            assert len(keys) < _MOST_RUNS, "it does not come to an end"
            source.watch(running)
            for spec in reversed(running):  # runs need not end in the order in which they began
                record = Record(root, spec.key)
                if record.stop.requested:
                    source.ended(spec, AttemptOutcome(record.stop.state, record.stop.reason))
                elif record.failure is not None:
                    source.ended(spec, AttemptOutcome(RunState.FAILED))
                else:
                    self.finish(source, root, spec, reports)
        assert source.next() is None, "it hands out a run after it was done"
        return keys

    def finish(self, source: Source, root: Path, spec: RunSpec, reports: int = 1) -> None:
        """Train a run and report its end."""
        self.train(root, spec)
        for _ in range(reports):
            source.ended(spec, _FINISHED)

    def first(self, source: Source, root: Path) -> RunSpec:
        """Have the source hand out its first run."""
        spec = source.next()
        assert spec is not None, "it has no run to begin with"
        Record(root, spec.key).create(spec)
        return spec

    @pytest.mark.parametrize("slots", [1, 3])
    def test_every_planned_run_is_handed_out_once(
        self, make_source: MakeSource, tmp_path: Path, slots: int
    ) -> None:
        """However many runs are under way, in the end the plan is what was trained."""
        source = make_source(tmp_path)
        keys = self.drive(source, tmp_path, slots=slots)
        assert len(keys) == len(set(keys)), "a run was handed out twice"
        _check_complete(source, tmp_path)
        assert set(source.plan.unique) <= set(keys)

    def test_listeners_receive_the_plan_as_it_grows(
        self, make_source: MakeSource, tmp_path: Path
    ) -> None:
        """`changed` is called with each new plan."""
        source = make_source(tmp_path)
        plans = [source.plan]
        source.changed = plans.append
        self.drive(source, tmp_path)
        assert list(plans[-1].unique) == list(source.plan.unique)

    def test_a_source_made_again_hands_out_what_is_missing(
        self, make_source: MakeSource, tmp_path: Path
    ) -> None:
        """A new driver continues from the records alone, and comes to the same plan."""
        source = make_source(tmp_path / "at once")
        self.drive(source, tmp_path / "at once")
        root = tmp_path / "resumed"
        earlier: list[str] = []
        resumed = make_source(root)
        while not resumed.done:  # every driver trains one run and is killed
            spec = self.first(resumed, root)
            self.train(root, spec)
            assert spec.key not in earlier, "a run that is finished was handed out again"
            earlier.append(spec.key)
            assert len(earlier) < _MOST_RUNS, "it does not come to an end"
            resumed = make_source(root)
        assert set(resumed.plan.unique) == set(source.plan.unique)

    def test_a_run_that_ended_twice_changes_nothing(
        self, make_source: MakeSource, tmp_path: Path
    ) -> None:
        """The end of a run may be reported more than once."""
        once = make_source(tmp_path / "once")
        twice = make_source(tmp_path / "twice")
        keys = self.drive(once, tmp_path / "once")
        assert self.drive(twice, tmp_path / "twice", reports=2) == keys
        assert list(twice.plan.unique) == list(once.plan.unique)

    @pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.CANCELLED])
    def test_a_run_without_a_result_decides_nothing(
        self, make_source: MakeSource, tmp_path: Path, state: RunState
    ) -> None:
        """After an interruption or a cancellation (`ablab cancel`) no run is added to the plan on
        its account.
        """
        source = make_source(tmp_path)
        spec = self.first(source, tmp_path)
        planned = set(source.plan.unique)
        if state.stopped:
            Record(tmp_path, spec.key).stop.request("cancelled")
        source.ended(spec, AttemptOutcome(state))
        assert set(source.plan.unique) == planned
        if state.stopped:
            self.drive(source, tmp_path)
            assert set(source.plan.unique) == planned, "runs were added after a cancellation"

    @pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
    def test_a_run_is_given_up_and_taken_up_again(
        self, make_source: MakeSource, tmp_path: Path, state: RunState
    ) -> None:
        """After `ablab retry`, the driver trains the run again and reports a second end."""
        source = make_source(tmp_path)
        spec = self.first(source, tmp_path)
        record = Record(tmp_path, spec.key)
        if state == RunState.FAILED:
            record.fail("it failed")
            source.ended(spec, AttemptOutcome(RunState.FAILED, "it failed"))
        else:
            record.stop.request("cancelled")
            source.ended(spec, AttemptOutcome(RunState.CANCELLED, "cancelled"))
        self.drive(source, tmp_path)
        assert not record.finished
        record.reset()
        self.finish(source, tmp_path, spec)
        self.drive(source, tmp_path)
        _check_complete(source, tmp_path)

    @pytest.mark.parametrize("under_way", [False, True])
    def test_a_run_that_another_study_pruned_is_trained_to_its_end(
        self, make_source: MakeSource, tmp_path: Path, under_way: bool
    ) -> None:
        """Pruning is a decision of the study that prunes."""
        spec = self.first(make_source(tmp_path), tmp_path)
        record = Record(tmp_path, spec.key)
        if not under_way:
            record.stop.request("it lags", "pruned", "another study")
        source = make_source(tmp_path)
        assert self.first(source, tmp_path).key == spec.key
        assert not record.stop.requested
        if under_way:
            record.stop.request("it lags", "pruned", "another study")
            source.ended(spec, AttemptOutcome(RunState.PRUNED, "it lags"))
            assert spec.key in self.drive(source, tmp_path)
        else:
            self.finish(source, tmp_path, spec)
            self.drive(source, tmp_path)
        assert not record.stop.requested
        _check_complete(source, tmp_path)


def _check_complete(source: Source, root: Path) -> None:
    """Every run that the study plans is finished."""
    missing = _missing(source.plan, root)
    assert source.done
    assert not missing, f"never trained: {', '.join(missing)}"


def _missing(plan: Plan, root: Path) -> Sequence[str]:
    return [spec.label for spec in plan.runs if not Record(root, spec.key).finished]
