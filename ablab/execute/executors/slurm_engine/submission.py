"""Submitting arrays: what a job asks of a node, and how submitit is told."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.execute.executors.job_status import JOBS
from ablab.execute.executors.slurm_engine.array import Array
from ablab.execute.executors.slurm_engine.job import Job, Task
from ablab.execute.executors.slurm_engine.queue import SlurmError, job_name, run
from ablab.execute.worker_context import WorkerContext
from ablab.spec.execution import SlurmOptions
from ablab.spec.hardware import Hardware

_TESTED = ("partition", "account", "time", "nodes", "ntasks_per_node", "cpus_per_task", "mem")
_GPUS = "gpus_per_node"
_SIGNAL_SECONDS = 30


@dataclass(frozen=True)
class Submission:
    """How the runs of a study are submitted."""

    options: SlurmOptions
    context: WorkerContext
    cpus: int
    """CPU cores of each process of a run."""
    gpus: int
    """GPUs of each run on a node."""
    job: type[Job] = Job
    """The class of the jobs."""

    @classmethod
    def of(cls, options: SlurmOptions, context: WorkerContext, hardware: Hardware) -> "Submission":
        """Return how runs on this hardware are submitted."""
        gpus = options.gpus_per_run
        if gpus is None:
            gpus = context.layout.local if hardware.accelerator == "cuda" else 0
        return cls(options, context, hardware.threads, gpus)

    def test(self) -> None:
        """Have SLURM look whether a node has what a job asks for. Nothing is submitted.

        Raises:
            SlurmError: if none has.

        """
        parameters = self._parameters
        names = [name for name in (*_TESTED, _GPUS) if name in parameters]
        flags = [f"--{name.replace('_', '-')}={parameters[name]}" for name in names]
        run(["sbatch", "--test-only", "--wrap=true", *flags])

    def submit(self, keys: Sequence[str], jobs: int) -> Array:
        """Submit an array of jobs for runs.

        Raises:
            SlurmError: if SLURM does not take it.

        """
        array = Array.create(self.context.home, keys, jobs)
        tasks = [
            Task(array.folder, number, jobs, self.options.signal_seconds, self.context)
            for number in range(jobs)
        ]
        try:
            self._submit([self.job(task) for task in tasks], array.folder)
        except SlurmError:
            array.stop()  # SLURM may have taken it, although it has not said so
            raise
        return array

    def submit_call(self, call: Callable[[], Any], name: str, minutes: int) -> Any:
        """Submit a job of its own for a call, with a time limit; return what submitit knows of it.

        Raises:
            SlurmError: if SLURM does not take it.

        """
        folder = self.context.home / JOBS / name
        return self._submit([call], folder, time=minutes, signal_delay_s=_SIGNAL_SECONDS)[0]

    def _submit(
        self, calls: Sequence[Callable[[], Any]], folder: Path, **more: object
    ) -> list[Any]:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(folder, max_num_timeout=self.options.requeues)
        executor.update_parameters(job_name=job_name(folder.name), **self._parameters | more)
        try:
            with executor.batch():
                return [executor.submit(call) for call in calls]
        except (FailedJobError, FailedSubmissionError) as error:
            lines = str(error).strip().splitlines()
            raise SlurmError(lines[-1] if lines else "sbatch was interrupted") from None

    @property
    def _parameters(self) -> dict[str, Any]:
        """What submitit is told, in its words."""
        options = self.options
        layout = self.context.layout
        parameters: dict[str, Any] = {
            "time": options.time,
            "nodes": layout.nodes,
            "ntasks_per_node": layout.local,
            "cpus_per_task": self.cpus,
            "array_parallelism": options.array_parallelism,
            "signal_delay_s": options.signal_seconds,
            "stderr_to_stdout": True,
            # Sites may have set that jobs which are preempted are not queued again.
            "additional_parameters": {"requeue": True},
            # A process that ends badly would leave the others of its run waiting.
            "srun_args": ["--kill-on-bad-exit=1"],
        }
        optional = {
            "partition": options.partition,
            "account": options.account,
            _GPUS: self.gpus or None,
            "mem": f"{options.memory_gb}GB" if options.memory_gb else None,
            "setup": setup_lines(options.setup),
        }
        return parameters | {name: value for name, value in optional.items() if value}


def setup_lines(name: str | None) -> list[str]:
    """Return the shell commands of a setup file of this user.

    Raises:
        UserError: if there is no such file.

    """
    if name is None:
        return []
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = config / "ablab" / "setup" / f"{name}.sh"
    try:
        return path.read_text().splitlines()
    except OSError as error:
        raise UserError(
            f"execution.slurm.setup: {name}: {path}: {error.strerror}; it is to have the shell "
            "commands for the start of each job"
        ) from None
