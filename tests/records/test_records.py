"""Records and leases."""

import shutil
import threading

import pytest

from ablab.data.batches import Batches
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.records.home import make_home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.study_record import Execution, StudyRecord, study_names
from tests.standin import result


@pytest.fixture
def record(tmp_path):
    made = Record(tmp_path, "abc123")
    made.folder.mkdir(parents=True)
    return made


def test_metrics_survive_a_cut_line_and_are_dropped_after_a_step(record):
    for step in (1, 2, 3):
        record.metrics.append(step, {"train/loss": step / 2})
    with (record.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "tra')
    assert [row["step"] for row in record.metrics.rows()] == [1, 2, 3]
    record.metrics.truncate(2)
    assert [(row["step"], row["train/loss"]) for row in record.metrics.rows()] == [
        (1, 0.5),
        (2, 1.0),
    ]


def test_wanting_again_forgets_failures_and_cancellations_but_no_pruning_and_no_attempt(tmp_path):
    cancelled, pruned = Record(tmp_path, "a"), Record(tmp_path, "b")
    cancelled.stop.request("enough")  # before it has a folder
    cancelled.fail("died", pid=7)
    pruned.stop.request("worse than half", "pruned")
    assert (cancelled.stop.pruned, pruned.stop.pruned) == (False, True)
    for made in (cancelled, pruned):
        made.reset()
    assert (cancelled.stop.requested, cancelled.failure) == (False, None)
    assert (pruned.stop.requested, pruned.stop.reason) == (True, "worse than half")
    assert [(a["reason"], a["pid"]) for a in cancelled.attempts.rows()] == [("died", 7)]
    cancelled.finish(result(1.0))
    assert len(cancelled.attempts.rows()) == 1


def test_a_run_that_was_removed_beside_its_driver_can_still_be_noted(tmp_path):
    record = Record(tmp_path, "gone")
    lease = record.lease()
    assert not lease.acquire()
    lease.release()
    lease.clear()
    assert not record.folder.exists()
    record.attempts.add("killed", 7)
    assert [a["reason"] for a in record.attempts.rows()] == ["killed"]
    shutil.rmtree(record.folder)
    record.fail("died")
    assert record.failure is not None
    shutil.rmtree(record.folder)
    record.metrics.append(1, {"train/loss": 2.0})
    assert [row["step"] for row in record.metrics.rows()] == [1]
    assert lease.acquire()


@pytest.mark.parametrize("content", [b"", b'{"sha', b"\xff\x00", b"3"])
def test_what_a_power_cut_left_of_progress_is_none(record, content):
    (record.folder / "progress.json").write_bytes(content)
    (record.folder / "stop.json").write_bytes(content)
    assert record.progress == {}
    assert record.stop.reason == ""


def test_a_study_that_was_removed_beside_its_driver_notes_its_execution(tmp_path):
    study = StudyRecord(make_home(tmp_path), "x", "r1")
    execution = Execution(time=1.0, wall_seconds=2.0, workers=1, busy_seconds=1.5, trained=3)
    study.executed(execution)
    assert study.executions == [execution]
    assert study_names(make_home(tmp_path)) == []


class Steady(Worker):
    """Outlives its driver: the process of the tests has none."""

    def _watch(self):
        return


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.CANCELLED, RunState.FAILED])
def test_a_run_that_another_driver_has_ended_is_not_trained(tmp_path, record, state):
    end = {
        RunState.FINISHED: lambda: record.finish(result(1.0)),
        RunState.CANCELLED: lambda: record.stop.request("no"),
        RunState.FAILED: lambda: record.fail("no"),
    }
    end[state]()
    spec = RunSpec(
        record.key, "x", "base", 1, "gpt2", (), {}, {}, "data", Batches(((1, 1),)), 1.0, (), 30.0
    )
    report = Steady(WorkerContext(tmp_path), threading.Event()).train(spec)
    assert report == AttemptOutcome(state, "" if state == RunState.FINISHED else "no")
    assert not record.lease().path.exists()
    assert len(record.attempts.rows()) == (state == RunState.FAILED)
