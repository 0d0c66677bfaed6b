"""The conformance suite for trackers.

A tracker's own tests subclass `TrackerConformance` and define three methods:

    from ablab.testing.trackers import ShownRun, TrackedStudy, TrackerConformance

    class TestMine(TrackerConformance):
        def tracker(self, tracked): return MyTracker(tracked.record, tracked.study, tracked.say)
        def shown(self, tracked): ...  # by run key, what the tracker's program shows
        def unreachable(self, tracked): ...  # a context in which the program does not answer

Nothing is trained: the suite writes run records as a driver and its workers would, and reports
them to the tracker. Every test has a home and a study name of its own, so that one store may serve
all tests.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ablab.analysis.summary import StudySummary
from ablab.plan.plan import StudyPlan
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.testing.tracked_study import (
    FINAL,
    METRIC,
    ShownRun,
    TrackedStudy,
    make_tracked_study,
)
from ablab.tracking.trackers import Tracker, Trackers

__all__ = ["METRIC", "ShownRun", "TrackedStudy", "TrackerConformance"]


class TrackerConformance:
    """Inherit from it in a test module and define `tracker`, `shown` and `unreachable`."""

    def tracker(self, tracked: TrackedStudy) -> Tracker:
        """Return a new tracker of the study, as a new driver would make it."""
        raise NotImplementedError

    def shown(self, tracked: TrackedStudy) -> Mapping[str, Sequence[ShownRun]]:
        """Return what the tracker's program shows, by run key: several entries for a duplicate.

        A run that failed and was repeated may have an entry for each.
        """
        raise NotImplementedError

    def unreachable(self, tracked: TrackedStudy) -> AbstractContextManager[object]:
        """Return a context in which the tracker's program cannot be reached."""
        raise NotImplementedError

    @pytest.fixture
    def tracked(self, tmp_path: Path, request: pytest.FixtureRequest) -> TrackedStudy:
        """A study in a new home, none of whose runs has begun."""
        return make_tracked_study(tmp_path, re.sub(r"\W", "_", request.node.name))

    def check_finished(self, tracked: TrackedStudy, spec: RunSpec) -> None:
        """The run is shown as finished once, with its result, and each measurement once."""
        runs = self.shown(tracked).get(spec.key, ())
        assert [run.state for run in runs] == ["finished"], f"{spec.label} is shown as {runs}"
        assert runs[0].final[METRIC] == FINAL
        repeated = {point: n for point, n in Counter(runs[0].points).items() if n > 1}
        assert not repeated, f"measurements of {spec.label} are shown more than once: {repeated}"
        assert runs[0].points, f"no measurement of {spec.label} is shown"

    def test_finished_run_is_shown_once(self, tracked: TrackedStudy) -> None:
        """Runs finished before and after the tracker was opened are shown."""
        first, second = tracked.plan.runs
        tracked.begin(first)
        tracked.finish(first)
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        tracked.begin(second)
        tracker.started(second)
        tracker.tick([second])
        tracked.finish(second)
        tracker.ended(second, RunState.FINISHED)
        assert tracker.close([], complete=True)
        for spec in (first, second):
            self.check_finished(tracked, spec)

    def test_reported_twice(self, tracked: TrackedStudy) -> None:
        """A second report of the same run, by this driver or another one, changes nothing."""
        tracked.begin(tracked.spec)
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        tracker.started(tracked.spec)
        tracker.started(tracked.spec)
        tracked.finish(tracked.spec)
        tracker.ended(tracked.spec, RunState.FINISHED)
        once = self.shown(tracked)
        tracker.ended(tracked.spec, RunState.FINISHED)
        assert tracker.close([], complete=True)
        another = self.tracker(tracked)
        another.open(tracked.plan)
        another.ended(tracked.spec, RunState.FINISHED)
        assert another.close([], complete=True)
        assert self.shown(tracked) == once
        self.check_finished(tracked, tracked.spec)

    def test_lost_and_tried_again(self, tracked: TrackedStudy) -> None:
        """A run whose process died starts again and measures some steps a second time."""
        tracked.begin(tracked.spec)
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        tracker.started(tracked.spec)
        tracker.tick([tracked.spec])
        record = tracked.run(tracked.spec)
        record.attempts.add("its process died")
        record.metrics.truncate(1)  # the second attempt resumes from a checkpoint at step 1
        tracker.started(tracked.spec)
        tracked.measure(tracked.spec, (2, 3))
        tracked.finish(tracked.spec)
        tracker.ended(tracked.spec, RunState.FINISHED)
        assert tracker.close([], complete=True)
        self.check_finished(tracked, tracked.spec)

    def test_failed(self, tracked: TrackedStudy) -> None:
        """A run that failed is shown as failed; the study is up to date all the same."""
        tracked.begin(tracked.spec)
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        tracker.started(tracked.spec)
        tracked.run(tracked.spec).fail("RuntimeError: no")
        for _ in range(2):
            tracker.ended(tracked.spec, RunState.FAILED)
        assert tracker.close([], complete=False)
        assert [run.state for run in self.shown(tracked)[tracked.spec.key]] == ["failed"]

    def test_held_elsewhere(self, tracked: TrackedStudy) -> None:
        """A run that another driver trains is not ended, and shown when that driver finishes it."""
        tracked.begin(tracked.spec)
        another = self.tracker(tracked)
        another.open(tracked.plan)
        another.started(tracked.spec)
        lease = tracked.run(tracked.spec).lease()
        assert lease.acquire()
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        states = {run.state for run in self.shown(tracked).get(tracked.spec.key, ())}
        assert states <= {"running"}, f"a run that another driver trains is shown as {states}"
        tracked.finish(tracked.spec)
        lease.release()  # and the other driver is killed before it reports the end
        assert tracker.close([], complete=True)
        self.check_finished(tracked, tracked.spec)

    def test_stopped(self, tracked: TrackedStudy) -> None:
        """A cancelled run is neither running nor finished, until it is started again."""
        tracked.begin(tracked.spec)
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        tracker.started(tracked.spec)
        tracked.run(tracked.spec).stop.request("cancelled by a test")
        tracker.ended(tracked.spec, RunState.CANCELLED)
        states = {run.state for run in self.shown(tracked).get(tracked.spec.key, ())}
        assert states <= {"stopped"}, f"a cancelled run is shown as {states}"
        tracked.run(tracked.spec).reset()
        tracker.started(tracked.spec)
        tracked.measure(tracked.spec, (3,))
        tracked.finish(tracked.spec)
        tracker.ended(tracked.spec, RunState.FINISHED)
        assert tracker.close([], complete=True)
        self.check_finished(tracked, tracked.spec)

    def test_unreachable_and_back(self, tracked: TrackedStudy) -> None:
        """What happened while the program was away is shown, at the latest by the next driver."""
        first, second = tracked.plan.runs
        tracked.begin(first)
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        tracker.started(first)
        with self.unreachable(tracked):
            tracker.tick([first])
            tracked.finish(first)
            tracker.ended(first, RunState.FINISHED)
            tracked.begin(second)
            tracker.started(second)
        assert tracked.lines, "the tracker does not say that its program is away"
        tracked.finish(second)
        tracker.ended(second, RunState.FINISHED)
        if not tracker.close([], complete=True):
            self._reopen(tracked)
        for spec in (first, second):
            self.check_finished(tracked, spec)

    def test_close_reports_what_is_missing(self, tracked: TrackedStudy) -> None:
        """`close` returns False if a finished run could not be shown, True once it is shown."""
        tracked.begin(tracked.spec)
        tracked.finish(tracked.spec)
        with self.unreachable(tracked):
            tracker = self.tracker(tracked)
            tracker.open(tracked.plan)
            assert not tracker.close([], complete=True)
        self._reopen(tracked)
        self.check_finished(tracked, tracked.spec)

    def test_beside_a_tracker_that_raises(self, tracked: TrackedStudy) -> None:
        """A tracker that raises stops neither the runs nor this tracker, but `close` reports it."""
        tracked.begin(tracked.spec)
        trackers = Trackers([_RaisingTracker(), self.tracker(tracked)])
        trackers.open(tracked.plan)
        trackers.started(tracked.spec)
        trackers.tick([tracked.spec])
        tracked.finish(tracked.spec)
        trackers.ended(tracked.spec, RunState.FINISHED)
        assert not trackers.close([], complete=True)
        self.check_finished(tracked, tracked.spec)

    def _reopen(self, tracked: TrackedStudy) -> None:
        """Bring the program up to date by a new tracker, as the next `ablab run` does."""
        tracker = self.tracker(tracked)
        tracker.open(tracked.plan)
        assert tracker.close([], complete=True)


class _RaisingTracker:
    """A tracker with a bug: every method raises."""

    def open(self, plan: StudyPlan) -> None:
        raise RuntimeError("a bug in a tracker")

    def replanned(self, plan: StudyPlan) -> None:
        raise RuntimeError("a bug in a tracker")

    def started(self, spec: RunSpec) -> None:
        raise RuntimeError("a bug in a tracker")

    def tick(self, running: Sequence[RunSpec]) -> None:
        raise RuntimeError("a bug in a tracker")

    def ended(self, spec: RunSpec, state: RunState) -> None:
        raise RuntimeError("a bug in a tracker")

    def close(
        self, files: Sequence[Path], *, complete: bool, summary: StudySummary | None = None
    ) -> bool:
        raise RuntimeError("a bug in a tracker")
