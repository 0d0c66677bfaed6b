"""Checks the arms of a study in a process of its own, before any of them is trained."""

import sys
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from ablab.arch.composition.bounded_output import BoundedOutput
from ablab.arch.composition.guard import guarded, reason_of
from ablab.arch.composition.registry import load_registry
from ablab.errors import RunFailed, UserError
from ablab.execute.arm_checks import fault_of, passed_marker, refusal, remember
from ablab.execute.attempt import exit_cause
from ablab.execute.executors.fork_server import process_context
from ablab.execute.request import Planned
from ablab.execute.worker import current_worker, initialise
from ablab.execute.worker_context import WorkerContext
from ablab.plan.run_key import rebuild
from ablab.process_state import ProcessState
from ablab.records.run_spec import RunSpec

_SECONDS = 300.0  # for an arm, which takes a tenth of a second
_OUTPUT_LIMIT = 10_000  # characters that plugins may print


def check_arms(planned: Planned, root: Path) -> None:
    """Check the arms of a study that are to be trained and did not pass before. `root` is the
    folder of records, in which nothing is created unless all arms pass.

    Processes that share a run check its arm themselves.

    Raises:
        UserError: for the first arm with a fault.

    """
    context = planned.context(root)
    if not context.checks or context.layout.processes > 1:
        return
    settled = planned.settled(root)
    runs = [run for key, run in planned.plan.unique.items() if key not in settled]
    if not runs:
        return
    specs = {(run.part, run.arm, run.trial): run for run in reversed(runs)}.values()
    devices = planned.study.hardware.shares()
    context = replace(context, device=devices[0] if devices else None)
    registry = load_registry(context.plugins)
    unchecked = {
        marker: spec
        for spec in specs
        for marker in [passed_marker(spec, rebuild(spec, registry), registry, context.home)]
        if not marker.exists()
    }
    if not unchecked:
        return
    checker = _Checker(context)
    try:
        for spec in unchecked.values():
            fault = checker.fault(spec)
            if fault:
                raise refusal(spec, registry, fault)
    finally:
        checker.close()
    for marker in unchecked:
        remember(marker)


class _Checker:
    """A process that checks one arm after another. It is replaced if an arm changed it."""

    def __init__(self, context: WorkerContext) -> None:
        self._processes = process_context([context.device] if context.device else [])
        self._arguments = [context, self._processes.Event()]
        self._pool = self._new_pool()

    def fault(self, spec: RunSpec) -> str:
        """Return the fault of an arm; empty if it has none."""
        future: Future[tuple[str, bool]]
        future = self._pool.schedule(_check, args=[spec], timeout=_SECONDS)  # pyright: ignore[reportAssignmentType]
        try:
            fault, changed = future.result()
        except FutureTimeout:
            return f"its model is not checked within {_SECONDS:g} s"
        except ProcessExpired as error:
            return f"it ends its process ({exit_cause(error.exitcode)})"
        except BrokenProcessPool as error:
            raise RunFailed("the process that checks arms does not start; try again") from error
        if changed:
            self.close()
            self._pool = self._new_pool()
        return fault

    def close(self) -> None:
        """End the process."""
        self._pool.stop()
        self._pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            context=self._processes,
            initializer=initialise,
            initargs=self._arguments,
        )


def _check(spec: RunSpec) -> tuple[str, bool]:
    """Return the fault of an arm, and whether it changed this process."""
    state = ProcessState.take()
    try:
        with guarded(None, BoundedOutput(sys.stderr, _OUTPUT_LIMIT)):
            fault = fault_of(rebuild(spec, current_worker().registry))
    except UserError as error:
        fault = str(error)
    except BaseException as error:  # a plugin may raise anything
        fault = reason_of(error)
    return fault, bool(state.changes())
