"""Drives many stand-in runs in real worker processes, of which one is killed every second.

`python -m tests.execute.load HOME RUNS` prints what it came to, as JSON.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from ablab.data.batches import Batches
from ablab.execute import worker as worker_module
from ablab.execute.driver import Driver
from ablab.execute.executors import local
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.summary import RetryPolicy
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.plan.plan import Expected, Plan
from ablab.records.lease import Lease
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.source import FixedSource
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, result

WORKERS = 8
STEPS = 5
SPEC = RunSpec("a", "x", "base", 1, "gpt2", (), {}, {}, "data", Batches(((1, 1),)), 1.0, (), 30.0)


def value(spec: RunSpec, step: int) -> float:
    """What a run measures in a step."""
    return spec.seed + step / 10


class StandInWorker(Worker):
    """Measures at once, and takes a moment for it."""

    def _attempt(self, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        record = Record(self.context.home, spec.key)
        record.metrics.truncate(0)
        for step in range(1, STEPS + 1):
            record.metrics.append(step, {"train/loss": value(spec, step)})
            time.sleep(0.005)
        record.finish(result(value(spec, STEPS)))
        return AttemptOutcome(RunState.FINISHED, busy_seconds=0.01)


def initialise(context: WorkerContext, stop: worker_module.StopSignal) -> None:
    """Set up a worker process for stand-in runs."""
    worker_module.Worker = StandInWorker
    worker_module.initialise(context, stop)


def workers() -> Iterator[psutil.Process]:
    """The worker processes: children of the fork server."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("forkserver" in part for part in child.cmdline()):
                yield from child.children()


class Fire:
    """Kills a worker every second, and notes the driver's memory."""

    def __init__(self) -> None:
        self.kills = 0
        self.memory: list[int] = []  # resident bytes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._burn)
        self._chance = random.Random(0)

    def __enter__(self) -> "Fire":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _burn(self) -> None:
        while not self._ended.wait(1.0):
            self.memory.append(psutil.Process().memory_info().rss)
            if victims := list(workers()):
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(victims).pid, signal.SIGKILL)
                    self.kills += 1


def main(home: Path, runs: int) -> None:
    """Train `runs` runs, and print how that went."""
    local.initialise = initialise
    specs = tuple(replace(SPEC, key=f"{seed:05}", seed=seed) for seed in range(runs))
    plan = Plan((), specs, (), {}, {}, Expected(runs, 0, 0.0))
    executor = LocalExecutor(WORKERS, WorkerContext(home))
    driver = Driver(home, executor, Trackers([]), Silent(), RetryPolicy(retries=9))
    begin = time.monotonic()
    with Fire() as fire:
        summary = driver.drive(FixedSource(plan, home))
    driver.close()
    seconds = time.monotonic() - begin
    memory = fire.memory
    print(
        json.dumps(
            {
                "trained": summary.trained,
                "failed": summary.failed,
                "broken": summary.broken,
                "kills": fire.kills,
                "seconds": round(seconds, 1),
                "memory_early_mb": round(memory[len(memory) // 4] / 1e6, 1),
                "memory_late_mb": round(memory[-1] / 1e6, 1),
                "wrong": [spec.key for spec in specs if not is_right(home, spec)],
            }
        )
    )


def is_right(home: Path, spec: RunSpec) -> bool:
    """Whether a run has its result and its curve, once each."""
    record = Record(home, spec.key)
    rows = [(row["step"], row["train/loss"]) for row in record.metrics.rows()]
    whole = [(step, value(spec, step)) for step in range(1, STEPS + 1)]
    return record.result == result(value(spec, STEPS)) and rows == whole


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
