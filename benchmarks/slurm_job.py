"""The job for timed stand-in runs on SLURM."""

from ablab.execute.executors import local
from ablab.execute.executors.base import Executor
from ablab.execute.executors.slurm_engine.job import Job
from benchmarks.engine_runs import initialise


class TimedJob(Job):
    """Trains stand-in runs that note when they begin."""

    def _start_workers(self) -> Executor:
        local.initialise = initialise
        return super()._start_workers()
