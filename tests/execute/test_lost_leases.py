"""Owners of a run that are stopped, lose their lease and wake up: their writes are refused."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ablab.arch.composition.registry import load_registry
from ablab.data.batches import Batches
from ablab.data.store import prepare
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.records import lease as lease_module
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.system import System
from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study
from tests.conftest import STUDY, command, environment, losses
from tests.processes import start, until
from tests.standin import result

SPEC = RunSpec("a", "x", "base", 1, "gpt2", (), {}, {}, "data", Batches(((1, 1),)), 1.0, (), 30.0)


class Here(Worker):
    """A worker in the process of the test, which has no driver to outlive."""

    def _watch(self):
        return


class StandIn(Here):
    """Measures `value` in three steps. `pause` is called before what `pause_at` names."""

    value = 1.0
    pause_at = ""

    def pause(self):
        """No-op: nothing is named."""

    def _attempt(self, spec, lease):
        record = Record(self.context.home, spec.key)
        record.metrics.truncate(0)
        for step in (1, 2, 3):
            if self.pause_at == f"step {step}":
                self.pause()
            record.metrics.append(step, {"train/loss": self.value})
        if self.pause_at == "result":
            self.pause()
        if self.pause_at == "failure":
            self.pause()
            raise ValueError("no")
        record.finish(result(self.value))
        return AttemptOutcome(RunState.FINISHED)


class Stopped(StandIn):
    """Stops itself, as SIGSTOP from outside does."""

    value = 2.0

    def pause(self):
        os.kill(os.getpid(), signal.SIGSTOP)


@pytest.fixture
def takes_over(monkeypatch):
    """Have this process see no other, and wait little for their heartbeats."""
    monkeypatch.setattr(System, "is_alive", lambda self, process: None)
    monkeypatch.setattr(lease_module, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(lease_module, "DOUBT_SECONDS", 0.2)
    monkeypatch.setattr(lease_module, "_POLL_SECONDS", 0.05)


def trained(worker, spec):
    """The outcome of a run, once nobody else holds it."""
    while (outcome := worker.train(spec)).state == RunState.HELD:
        time.sleep(0.05)
    return outcome


def is_stopped(pid):
    return os.waitpid(pid, os.WUNTRACED | os.WNOHANG)[0] == pid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pause_at", "state"),
    [
        ("step 1", RunState.HELD),
        ("step 3", RunState.HELD),
        ("result", RunState.HELD),
        ("failure", RunState.FINISHED),  # as the run is by then
    ],
)
def test_an_owner_that_wakes_up_without_its_lease_writes_nothing(
    tmp_path, takes_over, pause_at, state
):
    record = Record(tmp_path, SPEC.key)
    record.create(SPEC)
    context = WorkerContext(tmp_path)
    fork = multiprocessing.get_context("fork")
    outcomes = fork.SimpleQueue()
    loser = Stopped(context, threading.Event())
    loser.pause_at = pause_at
    process = fork.Process(target=lambda: outcomes.put(loser.train(SPEC)))
    process.start()
    until(lambda: is_stopped(process.pid), 10)
    winner = StandIn(context, threading.Event())
    assert trained(winner, SPEC).state == RunState.FINISHED
    os.kill(process.pid, signal.SIGCONT)
    assert outcomes.get().state == state
    process.join()
    assert record.result == result(1.0)
    rows = [(row["step"], row["train/loss"]) for row in record.metrics.rows()]
    assert rows == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert (record.failure, record.attempts.rows()) == (None, [])
    assert not record.lease().path.exists()


LONG = {"leave_one_out": "compare", "steps: 4": "steps: 300", "seeds: 2": "seeds: 1"}


@pytest.fixture
def planned(tmp_path, corpus):
    """A study file, and the runs of a second or two that it plans."""
    text = STUDY.format(corpus=corpus) + "checkpoint_seconds: 0.1\n"
    for old, new in LONG.items():
        text = text.replace(old, new)
    (tmp_path / "x.yaml").write_text(text)
    study, document = load_study(tmp_path / "x.yaml", None, [])
    return make_plan("x", study, document, load_registry())


def train_here(home, plan):
    """Train the first run in this process, alone or after somebody else."""
    for data in plan.data.values():
        prepare(data, home / "tokens")
    spec = plan.runs[0]
    Record(home, spec.key).create(spec)
    assert trained(Here(WorkerContext(home), threading.Event()), spec).state == RunState.FINISHED
    return Record(home, spec.key)


def files(folder):
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.iterdir()
        if file.name != lease_module.Lease.LOCK
    }


@pytest.mark.system
def test_a_stopped_worker_changes_nothing_of_the_run_that_was_taken_over(
    tmp_path, planned, takes_over
):
    expected = train_here(tmp_path / "alone", planned)
    home = tmp_path / "home"
    for data in planned.data.values():
        prepare(data, home / "tokens")
    spec = planned.runs[0]
    record = Record(home, spec.key)
    record.create(spec)
    executor = LocalExecutor(1, WorkerContext(home))
    future = executor.submit(spec)
    until(lambda: (record.folder / "checkpoint.ckpt").exists())
    pid = record.lease().owner["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not record.finished
        train_here(home, planned)
        finished = files(record.folder)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert future.result(timeout=60).state == RunState.HELD
    executor.close()
    assert files(record.folder) == finished
    assert record.result is not None
    assert expected.result is not None
    assert record.result.metrics == expected.result.metrics
    assert losses(record.folder) == losses(expected.folder)


ISOLATED = ["unshare", "--pid", "--fork", "--mount-proc"]


def may_unshare():
    if sys.platform != "linux":
        return False
    return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.system
@pytest.mark.skipif(not may_unshare(), reason="PID namespaces need Linux and the right to make one")
def test_drivers_in_two_pid_namespaces_train_each_run_once(tmp_path, planned, monkeypatch):
    monkeypatch.setattr("tests.processes.command", lambda *a: [*ISOLATED, *command(*a)])
    home = tmp_path / "home"
    arguments = ("run", "x.yaml", "seeds=2", "--home", home, "--workers", 1)
    both = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    try:
        until(lambda: list(home.glob("runs/*/metrics.jsonl")))
        removal = subprocess.run(
            [*ISOLATED, *command("rm", "x", "--yes", "--home", home)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        outputs = [process.communicate(timeout=100)[0] for process in both]
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert [process.returncode for process in both] == [0, 0], outputs
    assert (removal.returncode, "study x is being run by" in removal.stderr) == (2, True)
    (executions,) = home.glob("studies/x/*.executions")
    rows = [json.loads(line) for line in executions.read_text().splitlines()]
    assert sum(row["trained"] for row in rows) == 4
    assert not list(home.glob("runs/*/attempts.jsonl"))
    for run in home.glob("runs/*"):
        steps = [row["step"] for row in losses(run) if "train/loss" in row]
        assert steps == sorted(set(steps))
        assert (run / "result.json").exists()
