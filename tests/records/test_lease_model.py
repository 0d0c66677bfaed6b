"""A model of a home under fire: real leases and records, simulated processes, time and clocks.

Random schedules interleave workers of several machines and PID namespaces, one file operation at a
time, with kills, pauses and steps of the file system's clock. Every run must end finished, once,
with whole curves; nobody takes a lease whose owner is alive and beats, and no write of an owner
that lost its lease is visible.
"""

import random
import shutil
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from ablab.fence import fenced
from ablab.files import read_json, write_json
from ablab.records import lease as lease_module
from ablab.records.lease import BEAT_SECONDS, DOUBT_SECONDS, Lease, LeaseLost
from ablab.records.run_record import Record
from tests.records.simulated import Seat, Sleeping, World
from tests.standin import result

STEPS = 4
RUNS = ("a", "b")
# Namespace and boot id: two namespaces of one machine, one of them with two workers; two machines.
PLACES = (("pid:[1]", "x"), ("pid:[1]", "x"), ("pid:[2]", "x"), ("pid:[1]", "y"))
EVENTS = 60


class Violation(AssertionError):
    """The home is not as it must be."""


class SimulatedWorker:
    """Trains whatever is unfinished, a file operation at each call of `step`."""

    def __init__(self, home: "Home", pid: int, place: tuple[str, str]) -> None:
        self.home, self.place = home, place
        self.seat = Seat(home.world, pid, *place)
        self.paused = self.done = False
        self.lease: Lease | None = None
        self.last_beat = 0.0
        self._steps = self._work()

    def step(self) -> None:
        self.done = next(self._steps, "end") == "end"

    def beat(self) -> None:
        if self.lease is not None and self.lease.path.exists():
            self.lease.beat()
            self.last_beat = self.home.world.seconds

    def _work(self):
        while not all(record.finished for record in self.home.records.values()):
            waiting = [r for r in self.home.records.values() if not r.finished]
            record = self.home.chance.choice(waiting)
            lease = Lease(record.folder / "lease.json", self.seat)
            if lease.held() or not self._acquires(lease):
                yield
                continue
            self.home.takes_over(record.key, self)
            self.lease, self.last_beat = lease, self.home.world.seconds
            yield
            try:
                yield from self._train(record, lease)
            except LeaseLost:
                self.home.note(f"{self.seat.me.pid} lost {record.key}")
            lease.release()
            self.lease = None

    def _acquires(self, lease: Lease) -> bool:
        try:
            return lease.acquire()
        except Sleeping:
            return False

    def _train(self, record: Record, lease: Lease):
        if record.finished:
            return
        checkpoint = record.folder / "checkpoint.ckpt"
        first = (read_json(checkpoint) or {"step": 0})["step"]
        self._write(record, lease, lambda: record.metrics.truncate(first))
        yield
        for step in range(first + 1, STEPS + 1):
            self._write(
                record, lease, lambda step=step: record.metrics.append(step, {"loss": 1 / step})
            )
            yield
            if step % 2 == 0 and step < STEPS:
                state = {"step": step}
                self._write(
                    record, lease, lambda state=state: write_json(checkpoint, state, sync=False)
                )
                yield
        self._write(record, lease, lambda: record.finish(result(1.0)))
        self.home.finished[record.key] += 1
        yield

    def _write(self, record: Record, lease: Lease, write) -> None:
        with fenced(record.folder, lease.fence):
            write()
        if self.home.owner[record.key] is not self:
            raise Violation(f"a write of {self.seat.me.pid} to {record.key}, which it lost")


class Home:
    """A home, its workers, and what a schedule does to them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World()
        self.records = {key: Record(root, key) for key in RUNS}
        for record in self.records.values():
            record.folder.mkdir(parents=True)
        self.owner: dict[str, SimulatedWorker] = {}
        self.finished: Counter[str] = Counter()
        self.trace: list[str] = []
        self._pids = 0
        self._dead: list[SimulatedWorker] = []  # a generator that is collected would clean up
        self.workers = [self._worker(place) for place in PLACES]

    def note(self, event: str) -> None:
        self.trace.append(f"{self.world.seconds:g}: {event}")

    def takes_over(self, key: str, worker: SimulatedWorker) -> None:
        """Note the owner of a run's lease. The one before must be gone, or must seem so."""
        self.note(f"{worker.seat.me.pid} takes {key}")
        last = self.owner.get(key)
        self.owner[key] = worker
        if last is None or last.lease is None or last.lease.path.parent.name != key:
            return
        lives = last.seat.me in self.world.alive
        beats = not last.paused and self.world.seconds - last.last_beat < DOUBT_SECONDS
        if lives and (beats or last.place == worker.place):
            raise Violation(f"{worker.seat.me.pid} takes {key} from {last.seat.me.pid}")

    def run(self) -> None:
        """Let things happen, then let everybody end in peace."""
        happenings = (self._step, self._wait, self._kill, self._pause, self._step_clock)
        for happening in self.chance.choices(happenings, (70, 14, 6, 6, 4), k=EVENTS):
            happening()
        for worker in self.workers:
            worker.paused = False
        for _ in range(400):
            if all(worker.done for worker in self.workers):
                break
            self._wait()
            for worker in self._awake():
                worker.step()
        self._check()

    def _check(self) -> None:
        for key, record in self.records.items():
            steps = [row["step"] for row in record.metrics.rows()]
            if self.finished[key] != 1 or record.result != result(1.0):
                raise Violation(f"{key} was finished {self.finished[key]} times")
            if steps != list(range(1, STEPS + 1)):
                raise Violation(f"{key} has the steps {steps}")
            abandoned = self.owner[key].seat.me not in self.world.alive
            if record.lease().path.exists() and not abandoned:
                raise Violation(f"the lease of {key} was not released")
            if record.attempts.rows() or record.failure:
                raise Violation(f"{key} has a failure")

    def _awake(self) -> list[SimulatedWorker]:
        return [worker for worker in self.workers if not worker.paused and not worker.done]

    def _step(self) -> None:
        if awake := self._awake():
            self.chance.choice(awake).step()

    def _wait(self) -> None:
        for _ in range(self.chance.choice((1, 2, 7))):
            self.world.wait(BEAT_SECONDS)
            for worker in self._awake():
                worker.beat()

    def _kill(self) -> None:
        index = self.chance.randrange(len(self.workers))
        victim = self.workers[index]
        self.note(f"{victim.seat.me.pid} is killed")
        self.world.alive.discard(victim.seat.me)
        self._dead.append(victim)
        self.workers[index] = self._worker(victim.place)
        if victim.lease is not None and self.chance.random() < 0.5:  # else the driver died as well
            Lease(victim.lease.path, self.workers[index].seat).clear()

    def _pause(self) -> None:
        worker = self.chance.choice(self.workers)
        self.note(f"{worker.seat.me.pid} " + ("wakes up" if worker.paused else "is paused"))
        worker.paused = not worker.paused

    def _step_clock(self) -> None:
        self.world.file_clock += self.chance.uniform(-900, 900)
        self.note("the clock of the file system is stepped")

    def _worker(self, place: tuple[str, str]) -> SimulatedWorker:
        self._pids += 1
        return SimulatedWorker(self, self._pids, place)


@pytest.fixture
def memory(tmp_path):
    """A folder in memory, where there is one."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def explore(root: Path, seed: int) -> None:
    """Run one schedule in a home of its own."""
    home = Home(root / str(seed), seed)
    try:
        home.run()
    except Violation as violation:
        raise Violation(f"schedule {seed}: {violation}\n" + "\n".join(home.trace)) from None
    finally:
        shutil.rmtree(root / str(seed))


@pytest.mark.slow
def test_no_schedule_loses_or_doubles_a_run(memory):
    end, seed = time.monotonic() + 8.0, 0
    while time.monotonic() < end:
        explore(memory, seed)
        seed += 1
    print(f"{seed} schedules")
    assert seed > 20


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_schedule_of_many_loses_or_doubles_a_run(memory):
    for seed in range(20_000):
        explore(memory, seed)


def finds_violation(memory: Path, schedules: int = 300) -> str:
    for seed in range(schedules):
        try:
            explore(memory, seed)
        except Violation as violation:
            return str(violation)
    return ""


def test_the_model_notices_writes_that_are_not_fenced(memory, monkeypatch):
    monkeypatch.setattr(Lease, "fence", lambda self: nullcontext())
    assert "which it lost" in finds_violation(memory)


def test_the_model_notices_leases_that_are_stolen_when_a_clock_is_stepped(memory, monkeypatch):
    monkeypatch.setattr(lease_module, "DOUBT_SECONDS", 0.0)
    assert "takes" in finds_violation(memory)


def test_the_model_notices_process_ids_of_another_namespace(memory, monkeypatch):
    monkeypatch.setattr(Seat, "is_alive", lambda self, process: process.pid == self.me.pid)
    assert "takes" in finds_violation(memory)
