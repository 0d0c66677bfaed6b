"""What the executor for SLURM makes of queues and notes, without a cluster."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ablab.execute.executors.slurm_engine import executor as executor_module
from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.array import Array
from ablab.execute.executors.slurm_engine.executor import SlurmExecutor
from ablab.execute.executors.slurm_engine.notes import BEGAN, ENDED, STARTED, note
from ablab.execute.executors.slurm_engine.queue import QueuedJob
from ablab.execute.worker_context import WorkerContext
from ablab.records.home import make_home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_state import RunState
from ablab.spec.execution import SlurmOptions
from tests.execute.standin_runs import specs_of
from tests.processes import until


@dataclass
class Cluster:
    """A queue in which jobs do what a test says."""

    home: Path
    options: SlurmOptions = field(default_factory=SlurmOptions)
    arrays: list[Array] = field(default_factory=list)
    states: dict[tuple[str, int], str] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)

    @property
    def context(self):
        return WorkerContext(self.home)

    def submit(self, keys, jobs):
        array = Array.create(self.home, keys, jobs)
        self.arrays.append(array)
        for number in range(jobs):
            self.states[array.name, number] = "PENDING"
        return array

    def jobs(self):
        found = {}
        for (name, number), state in self.states.items():
            ends = state not in ("PENDING", "RUNNING")
            found.setdefault(name, []).append(QueuedJob(f"7_{number}", state, "", ends))
        return found

    def cancel_waiting(self, name):
        self.cancelled.append(name)
        for (array, number), state in self.states.items():
            if array == name and state == "PENDING":
                self.states[array, number] = "CANCELLED"

    def does(self, array, number, state, key="", **more):
        """Have a job note something."""
        if state == STARTED:
            self.states[array.name, number] = "RUNNING"
            more = {"job": f"7_{number}"}
        if key and state != BEGAN:
            more = {"reason": "", "busy_seconds": 1.0, "pid": 1, "notes": []}
        note(array.folder, number, {"state": state, "key": key, **more})

    def ends(self, array, number, how="COMPLETED"):
        self.states[array.name, number] = how


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    make_home(tmp_path).create()
    cluster = Cluster(tmp_path)
    monkeypatch.setattr(executor_module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(executor_module, "_ASK_SECONDS", 0.0)
    for name in ("jobs", "cancel_waiting", "kill"):
        monkeypatch.setattr(queue, name, getattr(cluster, name, cluster.cancel_waiting))
    return cluster


@pytest.fixture
def start(cluster):
    started = []

    def make(most_jobs=2):
        started.append(SlurmExecutor(cluster, 100, most_jobs))
        return started[-1]

    yield make
    for executor in started:
        executor.close()


def outcome(future) -> AttemptOutcome:
    return future.result(timeout=20)


def test_a_job_that_finds_a_run_held_does_not_hide_the_one_that_trains_it(cluster, start):
    executor = start()
    first, _ = [executor.submit(spec) for spec in specs_of(2)]
    (array,) = until(lambda: cluster.arrays)
    for number in (1, 0):
        cluster.does(array, number, STARTED)
        cluster.does(array, number, BEGAN, "00000")
    cluster.does(array, 1, RunState.HELD, "00000")
    until(lambda: not executor.waits(first))
    cluster.ends(array, 0, "NODE_FAIL")
    assert outcome(first) == AttemptOutcome(
        RunState.LOST, "job 7_0 ended before the run (NODE_FAIL)"
    )


def test_runs_that_there_is_no_room_for_are_left_for_the_jobs_to_come(cluster, start):
    executor = start(most_jobs=2)
    for spec in specs_of(4):
        executor.submit(spec)
    (first,) = until(lambda: cluster.arrays)
    assert (first.jobs, len(first.keys)) == (2, 4)
    for spec in specs_of(8)[4:]:
        executor.submit(spec)
    cluster.does(first, 0, STARTED)
    cluster.ends(first, 0)
    until(lambda: len(cluster.arrays) == 2)
    assert (cluster.arrays[1].jobs, cluster.arrays[1].keys) == (1, ("00004", "00005"))
    executor.close()  # and whoever leaves leaves nothing behind
    assert cluster.arrays[2].keys == ("00006", "00007")


def test_runs_that_do_not_divide_evenly_get_all_the_jobs_that_there_may_be(cluster, start):
    executor = start(most_jobs=4)
    for spec in specs_of(5):
        executor.submit(spec)
    (array,) = until(lambda: cluster.arrays)
    assert (array.jobs, len(array.keys)) == (4, 5)


def test_a_run_whose_death_an_earlier_driver_saw_is_submitted_again(cluster, start):
    array = cluster.submit(["00000", "00001"], 2)
    for number in (0, 1):
        cluster.does(array, number, STARTED)
    cluster.does(array, 0, BEGAN, "00000")
    cluster.ends(array, 0, "NODE_FAIL")
    note(array.folder, 0, {"state": ENDED, "how": "NODE_FAIL"})
    executor = start()
    for spec in specs_of(2):
        executor.submit(spec)
    until(lambda: len(cluster.arrays) == 2)
    assert cluster.arrays[1].keys == ("00000",)  # job 1 is alive, and has the other one


def test_after_a_stop_nothing_is_submitted_and_nothing_is_waited_for(cluster, start):
    executor = start()
    first, second = [executor.submit(spec) for spec in specs_of(2)]
    (array,) = until(lambda: cluster.arrays)
    cluster.does(array, 0, STARTED)
    cluster.does(array, 0, BEGAN, "00000")
    until(lambda: not executor.waits(first))
    executor.stop()
    assert outcome(executor.submit(specs_of(3)[2])).state == RunState.INTERRUPTED
    assert outcome(second).state == RunState.INTERRUPTED
    assert array.stopping
    assert not first.done()  # it writes its checkpoint
    cluster.does(array, 0, RunState.INTERRUPTED, "00000")
    assert outcome(first).state == RunState.INTERRUPTED
    assert len(cluster.arrays) == 1


def test_a_run_that_wrote_a_checkpoint_was_begun_although_its_job_is_not_queued_again(
    cluster, start
):
    executor = start()
    (future,) = [executor.submit(spec) for spec in specs_of(1)]
    (array,) = until(lambda: cluster.arrays)
    cluster.does(array, 0, STARTED)
    cluster.does(array, 0, BEGAN, "00000")
    cluster.does(array, 0, RunState.INTERRUPTED, "00000")
    cluster.ends(array, 0, "TIMEOUT")
    assert outcome(future).state == RunState.INTERRUPTED


def test_the_jobs_of_other_studies_are_left_alone(cluster, start):
    others = cluster.submit(["other"], 2)
    executor = start(most_jobs=2)
    executor.submit(specs_of(1)[0])
    mine = until(lambda: cluster.arrays[1:])[0]
    executor.stop()
    until(lambda: cluster.cancelled)
    assert cluster.cancelled == [mine.name]
    executor.kill()
    assert not others.stopping
    assert others.name not in cluster.cancelled


def test_a_run_is_begun_by_one_job_of_its_array(cluster):
    array = cluster.submit(["a"], 2)
    assert array.take("a", 0)
    assert not array.take("a", 1)
    assert array.take("a", 0)  # the same job, queued again
    array.give_back("a")
    assert array.take("a", 1)


def test_an_array_that_is_refused_is_the_reason_of_its_runs(cluster, start, monkeypatch):
    def refuse(keys, jobs):
        raise queue.SlurmError("allocation failure: Invalid account")

    monkeypatch.setattr(cluster, "submit", refuse)
    executor = start()
    refused = outcome(executor.submit(specs_of(1)[0]))
    assert (refused.state, refused.reason) == (
        RunState.UNSTARTED,
        "allocation failure: Invalid account",
    )
