"""What the driver and `ablab run` expect of an engine: an `Engine` that places a study's runs, and
the `Executor` that it starts for them.
"""

import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from typing import Protocol

from pebble import ProcessExpired

from ablab.errors import UserError
from ablab.execute.attempt import exit_cause
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.spec.study import Study


class Executor(Protocol):
    """Trains runs and returns futures of their outcomes.

    A future may end with ProcessExpired if its run's process died, or with BrokenProcessPool if
    the process never started; see `outcome_of`.
    """

    @property
    def slots(self) -> int:
        """How many runs may be under way now. It may change where machines come and go."""
        ...

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Start a run. The driver has at most `slots` runs under way."""
        ...

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return whether a run that was submitted waits for a machine, or for its turn there."""
        ...

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """End the process of one run now, whatever it is doing, without affecting other runs. The
        future is not used afterwards.
        """
        ...

    def stop(self) -> None:
        """Ask every run to write a checkpoint and end."""
        ...

    def kill(self) -> None:
        """End everything now."""
        ...

    def close(self) -> None:
        """End the workers when no run is under way. An engine with a queue leaves it to itself."""
        ...


class Timing(Protocol):
    """What is left to time of a study's arms."""

    @property
    def context(self) -> WorkerContext:
        """The settings of the study's runs."""
        ...

    def on(self, device: str | None) -> "Timing":
        """Return the same for the GPUs of another machine, named as in CUDA_VISIBLE_DEVICES."""
        ...

    def run(self) -> str:
        """Time the arms on this machine. Return what went wrong; empty if nothing did."""
        ...


class Engine(Protocol):
    """Gets the processes for the runs of a study."""

    queues: bool
    """Whether runs wait in a queue, and are trained although the driver has left."""

    def check(self, context: WorkerContext, runs: int) -> None:
        """Raise UserError if the engine cannot train `runs` runs with these settings. Nothing is
        created.
        """
        ...

    def slots(self, requested: int | None, runs: int) -> int:
        """Return how many of `runs` runs train at once; `requested` is the user's choice, if any.
        Raises UserError if that is not possible.
        """
        ...

    def leading(self) -> AbstractContextManager[object]:
        """Return a context in which other processes follow this one, the driver."""
        ...

    def executor(self, context: WorkerContext, requested: int | None, runs: int) -> Executor:
        """Start an executor with as many slots as `slots` returns."""
        ...

    def time_arms(self, stage: Timing) -> str:
        """Time arms side by side where runs are trained. Return what went wrong; empty if nothing
        did.

        Raises:
            KeyboardInterrupt: the rounds so far are recorded.

        """
        ...


def require_untimed(study: Study) -> None:
    """Raise UserError if the clock ends the runs of a study, which may be on any machine."""
    if study.timed:
        raise UserError(
            f"execution.engine: {study.execution.engine}: under a budget of seconds, runs need "
            "machines of the same speed with nothing else on them: take engine local, or a budget "
            "of flops"
        )


def outcome_of(future: "Future[AttemptOutcome]") -> AttemptOutcome:
    """Return the outcome of a future that is done. A process that died makes the attempt `lost`, or
    `unstarted` if it had not begun.
    """
    try:
        return future.result()
    except ProcessExpired as error:
        cause = exit_cause(error.exitcode)
        if error.exitcode == -signal.SIGKILL:
            cause += ": was memory short?"
        return AttemptOutcome(RunState.LOST, f"the worker process died ({cause})", pid=error.pid)
    except BrokenProcessPool:
        return AttemptOutcome(RunState.UNSTARTED, "the worker process died while starting")
    except (Exception, SystemExit) as error:
        return AttemptOutcome(RunState.FAILED, f"{type(error).__name__}: {error}")
