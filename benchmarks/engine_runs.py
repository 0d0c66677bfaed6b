"""Stand-in runs through one engine, timed: `python -m benchmarks.engine_runs ENGINE HOME RUNS
SECONDS WORKERS` prints what was measured, as JSON.

Everything is as in a study, durable records and leases included, except that nothing is trained: a
run waits for SECONDS and writes its curve and its result.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psutil

from ablab.execute import worker as worker_module
from ablab.execute.executors import local
from ablab.execute.executors.base import Executor
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.worker_context import WorkerContext
from ablab.records.lease import Lease
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.spec.execution import RayOptions
from tests.execute.standin_runs import StandInWorker, drive, is_right, specs_of

_BEGAN = "began"  # file in a run's folder


class TimedWorker(StandInWorker):
    """Notes when a run begins."""

    def _attempt(self, spec: RunSpec, lease: Lease) -> AttemptOutcome:
        record = Record(self.context.home, spec.key)
        (record.folder / _BEGAN).write_text(str(time.time()))
        return super()._attempt(spec, lease)


def initialise(context: WorkerContext, stop: worker_module.StopSignal) -> None:
    """Set up a worker process for stand-in runs, which take as long as the home says."""
    TimedWorker.seconds = float((context.home / "seconds").read_text())
    worker_module.Worker = TimedWorker
    worker_module.initialise(context, stop)


class Watched:
    """An executor that notes when each run was submitted, and the driver's memory."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.submitted: dict[str, float] = {}
        self.memory: list[int] = []  # resident bytes, after each hundredth run

    @property
    def slots(self) -> int:
        """Those of the executor."""
        return self._executor.slots

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Start a run."""
        self.submitted[spec.key] = time.time()
        if len(self.submitted) % 100 == 0:
            self.memory.append(psutil.Process().memory_info().rss)
        return self._executor.submit(spec)

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return whether a run waits for a machine."""
        return self._executor.waits(future)

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """End a run."""
        self._executor.cancel(future)

    def stop(self) -> None:
        """Stop all runs."""
        self._executor.stop()

    def kill(self) -> None:
        """End all workers."""
        self._executor.kill()

    def close(self) -> None:
        """End idle workers."""
        self._executor.close()


def local_executor(home: Path, workers: int) -> Executor:
    """Return the local engine's executor."""
    local.initialise = initialise
    return LocalExecutor(workers, WorkerContext(home))


def ray_executor(home: Path, workers: int) -> Executor:
    """Return the Ray engine's executor, on a cluster on this machine with a core for each run."""
    from ablab.execute.executors.ray_engine.connection import Connection
    from ablab.execute.executors.ray_engine.executor import Limits, RayExecutor
    from ablab.execute.executors.ray_engine.need import Need
    from ablab.train.machine import cores
    from benchmarks.ray_host import TimedHost

    connection = Connection(RayOptions())
    connection.open()
    RayExecutor.host = TimedHost
    need = Need(cores() / workers, 0.0)
    return RayExecutor(connection, need, WorkerContext(home), Limits(workers, False))


def slurm_executor(home: Path, workers: int) -> Executor:
    """Return the SLURM engine's executor, whose jobs have a core each."""
    from ablab.execute.executors.slurm_engine.executor import SlurmExecutor
    from ablab.execute.executors.slurm_engine.submission import Submission
    from ablab.spec.execution import SlurmOptions
    from benchmarks.slurm_job import TimedJob

    options = SlurmOptions(array_parallelism=workers)
    submission = Submission(options, WorkerContext(home), cpus=1, gpus=0, job=TimedJob)
    return SlurmExecutor(submission, 1_000, workers)


ENGINES: dict[str, Callable[[Path, int], Executor]] = {
    "local": local_executor,
    "ray": ray_executor,
    "slurm": slurm_executor,
}


def main(engine: str, home: Path, runs: int, seconds: float, workers: int) -> None:
    """Train stand-in runs, and print what that took."""
    home.mkdir(parents=True)
    (home / "seconds").write_text(str(seconds))
    executor = Watched(ENGINES[engine](home, workers))
    begin = time.time()
    summary = drive(home, executor, runs)
    wall = time.time() - begin
    specs = specs_of(runs)
    began = {spec.key: float((home / "runs" / spec.key / _BEGAN).read_text()) for spec in specs}
    first = min(began.values())
    waits = sorted(began[key] - executor.submitted[key] for key in began)
    print(
        json.dumps(
            {
                "engine": engine,
                "runs": runs,
                "right": sum(is_right(home, spec) for spec in specs),
                "failed": len(summary.failed),
                "wall_seconds": round(wall, 2),
                "start_seconds": round(first - begin, 2),
                "runs_per_second": round(runs / (begin + wall - first), 1),
                "median_wait_ms": round(1e3 * statistics.median(waits), 1),
                "p99_wait_ms": round(1e3 * waits[int(0.99 * len(waits))], 1),
                "overhead_ms": round(1e3 * ((begin + wall - first) * workers / runs - seconds), 1),
                "memory_start_mb": round(executor.memory[0] / 1e6, 1) if executor.memory else None,
                "memory_end_mb": round(executor.memory[-1] / 1e6, 1) if executor.memory else None,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    engine, home, runs, seconds, workers = sys.argv[1:]
    main(engine, Path(home), int(runs), float(seconds), int(workers))
