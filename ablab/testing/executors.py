"""The conformance suite for executors.

An executor's own tests derive from `ExecutorConformance` and say how it is started:

    class TestMine(ExecutorConformance):
        @pytest.fixture
        def make_executor(self):
            return MyExecutor  # called with a WorkerContext and a number of slots

The suite trains small runs whose model crashes, hangs or is slow. It expects their processes on
this machine, and takes seconds for each test.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ablab.arch.composition.registry import load_registry
from ablab.data.store import prepare
from ablab.execute.executors.base import Executor, outcome_of
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study
from ablab.testing.misbehaving import PLUGIN, STUDY

MakeExecutor = Callable[[WorkerContext, int], Executor]
_SECONDS = 120.0


@dataclass(frozen=True)
class Bench:
    """Runs by the name of their arm, ready to be trained. A run that misbehaves leaves a file named
    after what it does in `markers`.
    """

    context: WorkerContext
    runs: dict[str, RunSpec]
    markers: Path

    def record(self, arm: str) -> Record:
        """Return the record of an arm's run."""
        return Record(self.context.home, self.runs[arm].key)

    def process(self, how: str) -> int:
        """Return the id of the process that misbehaves, once it does."""
        marker = self.markers / how
        _wait_until(lambda: marker.exists() and marker.read_text() != "", f"no run began to {how}")
        return int(marker.read_text())


class ExecutorConformance:
    """Inherit from it in a test module and override the fixture `make_executor`."""

    @pytest.fixture
    def make_executor(self) -> MakeExecutor:
        """Return a function that starts an executor for a context and a number of slots."""
        raise NotImplementedError

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        """Plan the runs and tokenize their corpus."""
        for name in ("corpus", "plugins", "markers", "home"):
            (tmp_path / name).mkdir()
        for i in range(20):
            text = "".join(f"line {j} of {i} has {i * j % 97}\n" for j in range(60))
            (tmp_path / "corpus" / f"{i:02}.txt").write_text(text)
        source = PLUGIN.format(folder=str(tmp_path / "markers"))
        (tmp_path / "plugins" / "misbehave.py").write_text(source)
        (tmp_path / "x.yaml").write_text(STUDY.format(corpus=tmp_path / "corpus"))
        folders = (tmp_path / "plugins",)
        study, document = load_study(tmp_path / "x.yaml", None, [])
        plan = make_plan("x", study, document, load_registry(folders))
        home = tmp_path / "home"
        for data in plan.data.values():
            prepare(data, home / "tokens")
        for spec in plan.runs:
            Record(home, spec.key).create(spec)
        runs = {spec.arm: spec for spec in plan.runs}
        return Bench(WorkerContext(home, folders), runs, tmp_path / "markers")

    @pytest.fixture
    def executor(self, make_executor: MakeExecutor, bench: Bench) -> Iterator[Executor]:
        """Start an executor of one slot; end it after the test, whatever still runs."""
        executor = make_executor(bench.context, 1)
        yield executor
        executor.kill()

    @pytest.fixture
    def pair(self, make_executor: MakeExecutor, bench: Bench) -> Iterator[Executor]:
        """Start an executor of two slots; end it after the test, whatever still runs."""
        executor = make_executor(bench.context, 2)
        yield executor
        executor.kill()

    def test_a_finished_run_has_a_result(self, executor: Executor, bench: Bench) -> None:
        """The record is complete when the future is, and nobody has the run's lease any more."""
        outcome = _outcome(_submit(executor, bench.runs["plain"]))
        assert outcome.state == RunState.FINISHED, outcome
        assert outcome.busy_seconds > 0
        assert bench.record("plain").result is not None
        assert not bench.record("plain").lease().path.exists()

    def test_a_finished_run_is_not_trained_again(self, executor: Executor, bench: Bench) -> None:
        """A run that is submitted again is reported again, without any training."""
        _outcome(_submit(executor, bench.runs["plain"]))
        result = bench.record("plain").folder / "result.json"
        modification_time = result.stat().st_mtime_ns
        outcome = _outcome(_submit(executor, bench.runs["plain"]))
        assert (outcome.state, outcome.busy_seconds) == (RunState.FINISHED, 0.0)
        assert result.stat().st_mtime_ns == modification_time

    def test_an_exception_is_the_run_s_failure(self, executor: Executor, bench: Bench) -> None:
        """The reason, with its place in the plugin, is reported and recorded."""
        outcome = _outcome(_submit(executor, bench.runs["raise"]))
        assert outcome.state == RunState.FAILED
        assert outcome.reason.startswith("ValueError: no (plugin misbehave, ")
        failure = json.loads((bench.record("raise").folder / "failure.json").read_text())
        assert failure["reason"] == outcome.reason
        assert len(bench.record("raise").attempts.rows()) == 1

    def test_a_run_lost_with_its_process_can_be_tried_again(
        self, pair: Executor, bench: Bench
    ) -> None:
        """A crash costs an attempt of that run, and nothing of any other."""
        crashed = _submit(pair, bench.runs["crash"], slots=2)
        plain = _submit(pair, bench.runs["plain"], slots=2)
        outcome = _outcome(crashed)
        assert (outcome.state, outcome.pid) == (RunState.LOST, bench.process("crash"))
        assert "SIGKILL" in outcome.reason
        assert bench.record("crash").failure is None  # whether to give up is the driver's decision
        assert _outcome(plain).state == RunState.FINISHED
        assert _outcome(_submit(pair, bench.runs["crash"], slots=2)).state == RunState.FINISHED

    def test_a_run_that_another_driver_trains_is_left_alone(
        self, executor: Executor, bench: Bench
    ) -> None:
        """The outcome is `held` for as long as someone else has the lease."""
        lease = bench.record("plain").lease()
        assert lease.acquire()
        assert _outcome(_submit(executor, bench.runs["plain"])).state == RunState.HELD
        assert not bench.record("plain").finished
        lease.release()
        assert _outcome(_submit(executor, bench.runs["plain"])).state == RunState.FINISHED

    def test_a_cancelled_run_ends_now_and_no_other_does(self, pair: Executor, bench: Bench) -> None:
        """`cancel` ends a process that does not respond; its slot is free afterwards."""
        hanging = _submit(pair, bench.runs["hang"], slots=2)
        slow = _submit(pair, bench.runs["slow"], slots=2)
        pid = bench.process("hang")
        bench.process("slow")
        pair.cancel(hanging)
        _wait_until(lambda: not _runs(pid), "the process of the cancelled run goes on")
        assert _outcome(_submit(pair, bench.runs["plain"], slots=2)).state == RunState.FINISHED
        assert _outcome(slow).state == RunState.FINISHED

    def test_a_run_whose_record_asks_it_to_stop_stops(
        self, executor: Executor, bench: Bench
    ) -> None:
        """`ablab cancel` needs no driver: it writes to the record, which each run observes."""
        future = _submit(executor, bench.runs["slow"])
        bench.process("slow")
        bench.record("slow").stop.request("enough")
        outcome = _outcome(future)
        assert (outcome.state, outcome.reason) == (RunState.CANCELLED, "enough")
        assert not bench.record("slow").finished
        assert _outcome(_submit(executor, bench.runs["slow"])).state == RunState.CANCELLED

    def test_stop_interrupts_runs_at_a_checkpoint(
        self, make_executor: MakeExecutor, executor: Executor, bench: Bench
    ) -> None:
        """The next executor resumes the run from there."""
        future = _submit(executor, bench.runs["slow"])
        bench.process("slow")
        executor.stop()
        assert _outcome(future).state == RunState.INTERRUPTED
        assert (bench.record("slow").folder / "checkpoint.ckpt").exists()
        assert not bench.record("slow").lease().path.exists()
        executor.close()
        following = make_executor(bench.context, 1)
        assert _outcome(_submit(following, bench.runs["slow"])).state == RunState.FINISHED
        following.close()

    def test_kill_ends_every_process(self, executor: Executor, bench: Bench) -> None:
        """Nothing is left of a run, however it behaves."""
        _submit(executor, bench.runs["hang"])
        pid = bench.process("hang")
        executor.kill()
        _wait_until(lambda: not _runs(pid), "a process goes on after kill")


def _submit(executor: Executor, spec: RunSpec, slots: int = 1) -> "Future[AttemptOutcome]":
    """Submit a run once the executor has as many slots as it was started with."""
    _wait_until(lambda: executor.slots == slots, f"there are no {slots} slots")
    return executor.submit(spec)


def _outcome(future: "Future[AttemptOutcome]") -> AttemptOutcome:
    _wait_until(future.done, "the run does not end")
    return outcome_of(future)


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
