"""The driver's decisions, with an executor that does as it is told."""

import json
import os
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from threading import Timer

import pytest
from pebble import ProcessExpired

from ablab.data.batches import Batches
from ablab.execute import driver as driver_module
from ablab.execute.driver import Driver
from ablab.execute.executors.base import outcome_of
from ablab.execute.summary import RetryPolicy
from ablab.plan.plan import Expected, Plan
from ablab.records import lease as lease_module
from ablab.records.lease import STALE_SECONDS
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.source import FixedSource
from tests.standin import result

SPEC = RunSpec("a", "x", "base", 1, "gpt2", (), {}, {}, "data", Batches(((1, 1),)), 1.0, (), 30.0)
HANG = "hang"


class Silent:
    """Views and a display that note what they hear."""

    def __init__(self):
        self.said, self.endings = [], []

    def say(self, text):
        self.said.append(text)

    def ended(self, spec, report, result=None):
        self.endings.append((spec.key, getattr(report, "state", report)))

    def __getattr__(self, name):
        return lambda *arguments: None


class Scripted:
    """Gives each run the outcomes that `script` holds for it, in turn: a report, an error,
    something to call, or HANG.
    """

    def __init__(self, script, slots=1):
        self.script = {key: deque(outcomes) for key, outcomes in script.items()}
        self.slots, self.cancelled, self.handed = slots, [], []

    def submit(self, spec):
        future = Future()
        self.handed.append(spec.key)
        outcome = self.script[spec.key].popleft()
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif outcome != HANG:
            future.set_result(outcome)
        return future

    def waits(self, future):
        return False

    def cancel(self, future):
        self.cancelled.append(future)

    def stop(self):
        """Nothing to stop."""

    kill = close = stop


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name in ("_POLL_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(driver_module, name, 0.02)


def drive(root, script, *, retries=1, slots=1, stall=600.0, executor=None, trackers=None):
    display = Silent()
    executor = executor or Scripted(script, slots)
    policy = RetryPolicy(retries, stall)
    driver = Driver(root, executor, trackers or Silent(), display, policy)
    plan = Plan(
        (),
        tuple(replace(SPEC, key=key) for key in script),
        (),
        {},
        {},
        Expected(len(script), 0, 0.0),
    )
    summary = driver.drive(FixedSource(plan, root))
    return summary, executor, display


def died(code=-9):
    return ProcessExpired("died", code=code, pid=123)


FINISHED = AttemptOutcome(RunState.FINISHED, busy_seconds=1.0)


def test_a_run_whose_process_died_is_tried_again_with_the_reason_on_record(tmp_path):
    summary, executor, display = drive(tmp_path, {"a": [died(), FINISHED], "b": [FINISHED]})
    assert (summary.trained, summary.failed) == (2, {})
    assert executor.handed == ["a", "a", "b"]
    (attempt,) = Record(tmp_path, "a").attempts.rows()
    assert (attempt["reason"], attempt["pid"]) == (
        "the worker process died (killed by SIGKILL: was memory short?)",
        123,
    )
    assert "tried again" in display.said[0]
    assert display.endings == [("a", "finished"), ("b", "finished")]


@pytest.mark.parametrize("retries", [0, 2])
def test_retries_are_counted(tmp_path, retries):
    summary, executor, _ = drive(tmp_path, {"a": [died(9)] * 5, "b": [FINISHED]}, retries=retries)
    assert summary.failed == {"a": "the worker process died (exit code 9)"}
    assert executor.handed.count("a") == 1 + retries
    assert len(Record(tmp_path, "a").attempts.rows()) == 1 + retries
    assert Record(tmp_path, "a").failure["reason"] == "the worker process died (exit code 9)"
    assert summary.trained == 1


def test_what_a_run_raises_is_not_tried_again(tmp_path):
    summary, executor, _ = drive(
        tmp_path, {"a": [AttemptOutcome(RunState.FAILED, "ValueError: no")]}, retries=3
    )
    assert summary.failed == {"a": "ValueError: no"}
    assert executor.handed == ["a"]


def test_a_run_that_makes_no_progress_is_ended_and_tried_again(tmp_path):
    summary, executor, _ = drive(
        tmp_path, {"a": [HANG, FINISHED], "b": [FINISHED]}, slots=2, stall=0.2
    )
    assert summary.trained == 2
    assert len(executor.cancelled) == 1
    assert [attempt["reason"] for attempt in Record(tmp_path, "a").attempts.rows()] == [
        "no progress for 0.2 s"
    ]
    assert Record(tmp_path, "b").attempts.rows() == []


def test_workers_that_never_start_end_the_execution_with_the_reason(tmp_path):
    never = [AttemptOutcome(RunState.UNSTARTED, "ImportError: no torch")] * 9
    summary, executor, _ = drive(tmp_path, {"a": list(never), "b": list(never)})
    assert summary.broken == "no worker process starts: ImportError: no torch"
    assert len(executor.handed) == 3
    assert Record(tmp_path, "a").failure is None  # it was never begun
    assert summary.failed == {}


UNSTARTED = AttemptOutcome(RunState.UNSTARTED, "no")


def test_failed_starts_in_different_slots_do_not_end_the_study(tmp_path):
    script = {"long": [HANG, FINISHED], "a": [UNSTARTED, FINISHED], "b": [UNSTARTED, FINISHED]}
    script |= {key: [UNSTARTED, FINISHED] for key in "cdef"}
    summary, _, _ = drive(tmp_path, script, slots=8, stall=0.5)
    assert (summary.trained, summary.broken) == (7, "")


def test_a_slot_in_which_no_worker_starts_does_not_end_the_others(tmp_path):
    """One of two slots fails whenever it is tried; what the other trains gets through."""
    executor = Scripted({}, slots=2)
    occupied = []

    def submit(spec):
        future = Future()
        if occupied:  # the second of two at once
            future.set_result(UNSTARTED)
        else:
            occupied.append(spec.key)
            Timer(0.05, lambda: (occupied.clear(), future.set_result(FINISHED))).start()
        return future

    executor.submit = submit
    summary, _, _ = drive(tmp_path, {key: [] for key in "abcdef"}, executor=executor)
    assert (summary.trained, summary.broken) == (6, "")


def test_slots_that_all_fail_end_the_execution(tmp_path):
    script = {key: [UNSTARTED] * 30 for key in "abcdefgh"}
    summary, executor, _ = drive(tmp_path, script, slots=4)
    assert summary.broken == "no worker process starts: no"
    assert len(executor.handed) == 3 * 4


def test_a_last_run_is_tried_in_all_slots_where_workers_have_started_before(tmp_path):
    script = {"a": [FINISHED], "b": [UNSTARTED] * 5 + [FINISHED]}
    summary, _, _ = drive(tmp_path, script, slots=2)
    assert (summary.trained, summary.broken) == (2, "")


def test_no_run_is_left_running_in_a_tracker_where_no_worker_starts(tmp_path):
    trackers = Silent()
    script = {"a": [UNSTARTED] * 9, "b": [UNSTARTED] * 9}
    summary, _, _ = drive(tmp_path, script, slots=2, trackers=trackers)
    assert summary.broken
    assert dict(trackers.endings) == {"a": RunState.INTERRUPTED, "b": RunState.INTERRUPTED}


def test_a_run_that_another_driver_trains_stays_running_in_a_tracker(tmp_path):
    def held():
        assert Record(tmp_path, "a").lease().acquire()
        return AttemptOutcome(RunState.HELD)

    trackers = Silent()
    script = {"a": [held], "b": [UNSTARTED] * 9}
    summary, _, _ = drive(tmp_path, script, trackers=trackers)
    assert summary.broken
    assert trackers.endings == [("b", RunState.INTERRUPTED)]


def test_a_run_that_another_driver_finished_is_not_given_up(tmp_path):
    def died_late():
        Record(tmp_path, "a").finish(result(1.0))
        return died()

    summary, _, _ = drive(tmp_path, {"a": [died_late]}, retries=0)
    assert (summary.failed, Record(tmp_path, "a").failure) == ({}, None)


def test_one_failed_start_is_no_attempt_of_the_run(tmp_path):
    start = AttemptOutcome(RunState.UNSTARTED, "no")
    script = {key: [start, start, FINISHED] for key in "abc"}
    summary, _, _ = drive(tmp_path, script, retries=0)
    assert (summary.trained, summary.broken) == (3, "")
    assert Record(tmp_path, "a").attempts.rows() == []


def test_cancelled_runs_are_not_begun_and_what_another_study_pruned_is(tmp_path):
    Record(tmp_path, "a").stop.request("enough")
    Record(tmp_path, "b").stop.request("worse than half", "pruned", "another study")
    summary, executor, display = drive(tmp_path, {"a": [], "b": [FINISHED], "c": [FINISHED]})
    assert executor.handed == ["b", "c"]
    assert (summary.stopped, summary.pruned) == ({"a": "enough"}, {})
    assert display.endings == [("a", "cancelled"), ("b", "finished"), ("c", "finished")]


def test_a_driver_at_work_takes_up_what_is_wanted_again(tmp_path):
    def retry():
        Record(tmp_path, "a").reset()
        Record(tmp_path, "b").reset()
        return HANG  # ended by the stall, so that the driver is at work for a while

    Record(tmp_path, "a").stop.request("enough")
    script = {
        "a": [FINISHED],
        "b": [AttemptOutcome(RunState.FAILED, "no"), FINISHED],
        "c": [retry, FINISHED],
    }
    summary, executor, _ = drive(tmp_path, script, stall=0.3)
    assert summary.trained == 3
    assert (summary.stopped, summary.failed) == ({}, {})
    assert executor.handed[:2] == ["b", "c"]


def test_a_stop_that_is_taken_back_before_the_run_ended_costs_nothing(tmp_path):
    summary, executor, _ = drive(tmp_path, {"a": [AttemptOutcome(RunState.INTERRUPTED), FINISHED]})
    assert (summary.trained, executor.handed) == (1, ["a", "a"])


def test_the_lease_of_a_dead_worker_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "DOUBT_SECONDS", 0.0)

    def die():
        Record(tmp_path, "a").lease().path.write_text('{"host": "gone", "pid": 1}')
        os.utime(Record(tmp_path, "a").lease().path, (0, 0))
        return died()

    drive(tmp_path, {"a": [die]}, retries=0)
    assert not Record(tmp_path, "a").lease().path.exists()


def test_what_failed_before_the_driver_began_is_wanted_again_and_what_failed_since_is_not(tmp_path):
    def forgotten():
        assert Record(tmp_path, "a").failure is None
        Record(tmp_path, "b").fail("it failed for another driver")
        return FINISHED

    def kept():
        assert Record(tmp_path, "b").failure is not None
        return FINISHED

    Record(tmp_path, "a").fail("it failed yesterday")
    time.sleep(0.01)
    summary, _, _ = drive(tmp_path, {"a": [forgotten], "b": [kept]})
    assert summary.trained == 2


def died_elsewhere(lease, *, pid):
    """A process died, and the run's lease is that of one on another machine, silent for a while."""

    def die():
        lease.path.write_text(json.dumps({"host": "elsewhere", "pid": pid}))
        soon = time.time() - STALE_SECONDS + 0.4
        os.utime(lease.path, (soon, soon))
        return died()

    return die


def test_a_run_that_another_driver_took_over_is_waited_for_and_not_given_up(tmp_path):
    lease = Record(tmp_path, "a").lease()

    def taken():
        assert not lease.held()
        return FINISHED

    summary, executor, _ = drive(
        tmp_path, {"a": [died_elsewhere(lease, pid=1), taken], "b": [FINISHED]}, retries=0
    )
    assert executor.handed == ["a", "b", "a"]
    assert (summary.trained, summary.failed) == (2, {})
    assert Record(tmp_path, "a").failure is None


def test_a_run_whose_process_cannot_be_seen_to_be_gone_is_given_up_once_its_lease_is_old(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(lease_module, "DOUBT_SECONDS", 0.0)
    lease = Record(tmp_path, "a").lease()

    summary, executor, _ = drive(
        tmp_path, {"a": [died_elsewhere(lease, pid=died().pid)], "b": [FINISHED]}, retries=0
    )
    assert executor.handed == ["a", "b"]
    assert list(summary.failed) == ["a"]
    assert len(Record(tmp_path, "a").attempts.rows()) == 1


def test_reports_of_futures():
    future = Future()
    future.set_exception(OSError("no space left"))
    assert outcome_of(future) == AttemptOutcome(RunState.FAILED, "OSError: no space left")


def test_a_full_disk_ends_the_study_in_a_line_and_fails_no_run(tmp_path):
    full = AttemptOutcome(RunState.BLOCKED, "the disk is full: make room", busy_seconds=1.0)
    summary, executor, _ = drive(tmp_path, {"a": [FINISHED], "b": [full], "c": [], "d": []})
    assert summary.broken == "the disk is full: make room"
    assert (summary.trained, summary.failed) == (1, {})
    assert executor.handed == ["a", "b"]
    assert all(Record(tmp_path, key).failure is None for key in "abcd")


def test_a_disk_that_is_full_for_the_driver_ends_the_study_in_a_line(tmp_path):
    def fill_the_disk():
        # As after a death: the next file that the driver writes is the log of attempts.
        (tmp_path / "runs" / "a" / "attempts.jsonl").symlink_to("/dev/full")
        return died()

    summary, executor, _ = drive(tmp_path, {"a": [fill_the_disk], "b": []})
    assert "the disk is full: make room" in summary.broken
    assert executor.handed == ["a"]
    assert summary.failed == {}
    assert Record(tmp_path, "a").failure is None
