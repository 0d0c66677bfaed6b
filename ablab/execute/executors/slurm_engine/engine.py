"""The SLURM engine of a study."""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

from ablab.errors import UserError
from ablab.execute.executors.base import Executor, Timing, require_untimed
from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.executor import SlurmExecutor
from ablab.execute.executors.slurm_engine.submission import Submission
from ablab.execute.executors.slurm_engine.timing import time_in_job
from ablab.execute.worker_context import WorkerContext
from ablab.spec.study import Study

_MOST_RUNS = 1_000  # that wait or run at a time; the next ones follow as they end


class SlurmEngine:
    """Trains the runs of a study in jobs of a SLURM cluster.

    Raises:
        UserError: if submitit is not installed.

    """

    queues = True

    def __init__(self, study: Study) -> None:
        if find_spec("submitit") is None:
            raise UserError(
                "execution.engine: submitit is not installed: pip install 'ablab[slurm]'"
            )
        self._study = study
        self._options = study.execution.slurm

    def _submission(self, context: WorkerContext) -> Submission:
        return Submission.of(self._options, context, self._study.hardware)

    def check(self, context: WorkerContext, runs: int) -> None:
        """Raise UserError if SLURM does not answer, or no node has what a job asks for."""
        require_untimed(self._study)
        if not runs:
            return
        try:
            self._submission(context).test()
        except queue.SlurmError as error:
            raise UserError(f"execution.slurm: {error}") from None

    def slots(self, requested: int | None, runs: int) -> int:
        """Return how many jobs the study has at a time: SLURM starts them when it has room."""
        most = self._options.array_parallelism
        return max(1, min(requested or most, most, runs))

    def leading(self) -> AbstractContextManager[object]:
        """Return an empty context: the executor submits jobs."""
        return nullcontext()

    def executor(self, context: WorkerContext, requested: int | None, runs: int) -> Executor:
        """Start an executor for which all runs may wait.

        Raises:
            UserError: if SLURM does not answer.

        """
        slots = max(1, min(runs, _MOST_RUNS))
        jobs = self.slots(requested, runs)
        try:
            return SlurmExecutor(self._submission(context), slots, jobs)
        except queue.SlurmError as error:
            raise UserError(f"execution.slurm: {error}") from None

    def time_arms(self, stage: Timing) -> str:
        """Time arms in a job of its own. Return what went wrong; empty if nothing did.

        Raises:
            KeyboardInterrupt: the rounds so far are recorded.

        """
        return time_in_job(stage, self._submission(stage.context))
