"""Decides what is left to time, and has a process of its own do it."""

from collections.abc import Mapping
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from copy import copy
from dataclasses import replace
from pathlib import Path

import psutil
from pebble import ProcessPool

from ablab.arch.composition.registry import load_registry
from ablab.execute.executors.fork_server import process_context
from ablab.execute.timing.rounds import TimingRequest, is_quiet, time_arms
from ablab.execute.worker import current_worker, initialise
from ablab.execute.worker_context import WorkerContext
from ablab.plan.plan import StudyPlan
from ablab.plan.timing_digest import timing_digest
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.study_record import StudyRecord
from ablab.records.timings import MIN_ROUNDS
from ablab.train.costs.arm_timer import MIN_STEPS
from ablab.train.costs.decoding import MIN_DECODED
from ablab.train.result import RunResult

_ROUNDS = 12
_SHARE = 0.05  # of the time that the runs took
_MIN_SECONDS = 1.0  # in less, times would say nothing
_MAX_SECONDS = 900.0
_TURN_SECONDS = 0.05  # shorter turns are hardly more than warming up
_MAX_TURN_SECONDS = 0.4
_MAX_SHARE_OF_MEMORY = 0.5
_POLL_SECONDS = 1.0


class TimingStage:
    """Times the arms of a finished study side by side: in one process with the threads of a run,
    each arm once in every round, in random order.

    It takes about a twentieth of the time that the runs took; if that is less than a second, they
    are too short for it. Rounds are recorded one by one, so that an interrupted stage goes on with
    the next.

    Raises:
        UserError: if an arm cannot be composed any more, since a plugin has changed.

    """

    def __init__(
        self, record: StudyRecord, plan: StudyPlan, context: WorkerContext, stall_seconds: float
    ) -> None:
        self.context = context
        self._stall_seconds = stall_seconds
        registry = load_registry(context.plugins)
        runs = first_runs(plan)
        digests = {
            key: timing_digest(run, registry, compile=context.compile) for key, run in runs.items()
        }
        self.specs: dict[str, RunSpec] = {}
        for key, run in runs.items():
            self.specs.setdefault(digests[key], run)
        results = {key: Record(context.home, key).result for key in plan.unique}
        self._results = [result for key in runs if (result := results.get(key)) is not None]
        seconds = min(_SHARE * sum(map(_busy_seconds, results.values())), _MAX_SECONDS)
        arms = max(len(self.specs), 1)
        self._least = sum(_least_seconds(results.get(run.key)) for run in self.specs.values())
        shortest_round = max(self._least, arms * _TURN_SECONDS)
        rounds = min(_ROUNDS, max(MIN_ROUNDS, int(seconds / shortest_round)))
        self.request = TimingRequest(
            specs=self.specs,
            runs=digests,
            log=record.timings.path,
            tokens=record.home.tokens,
            rounds=rounds,
            turn_seconds=min(_MAX_TURN_SECONDS, seconds / (arms * rounds)),
            patience_seconds=seconds,
            compile=context.compile,
        )
        self._timed = record.timings.rounds(runs=digests, digests=digests.values())

    def on(self, device: str | None) -> "TimingStage":
        """Return the stage for the GPUs of another machine, named as in CUDA_VISIBLE_DEVICES."""
        stage = copy(self)
        stage.context = replace(self.context, device=device)
        return stage

    @property
    def due(self) -> bool:
        """Whether arms are still to be timed: rounds are missing, or other processes disturbed them
        and are quiet now.
        """
        if not self.specs or self.request.patience_seconds < _MIN_SECONDS:
            return False
        if sum(r.quiet for r in self._timed) >= self.request.rounds:
            return False
        return len(self._timed) < self.request.rounds or is_quiet()

    @property
    def seconds(self) -> float:
        """About how long it takes on a quiet machine."""
        turns = len(self.specs) * self.request.turn_seconds
        return self.request.rounds * max(turns, self._least)

    def run(self) -> str:
        """Time the arms. Return what went wrong; empty if nothing did.

        Raises:
            KeyboardInterrupt: the rounds so far are recorded.

        """
        needed = sum(4 * result.cost.parameters for result in self._results)
        if needed > _MAX_SHARE_OF_MEMORY * psutil.virtual_memory().available:
            return f"the models of all arms, {needed / 1e9:.1f} GB, do not fit into memory together"
        try:
            return self._run_in_process()
        # The study's results are complete without these figures.
        except (BrokenProcessPool, OSError, RuntimeError) as error:
            return f"the process could not be started: {error}"

    def _run_in_process(self) -> str:
        processes = process_context([self.context.device] if self.context.device else [])
        pool = ProcessPool(
            max_workers=1,
            context=processes,
            initializer=initialise,
            initargs=[self.context, processes.Event()],
        )
        try:
            future: Future[None]
            future = pool.schedule(_work, args=[self.request])  # pyright: ignore[reportAssignmentType]
            return self._outcome(future)
        finally:
            pool.stop()
            pool.join()

    def _outcome(self, future: "Future[None]") -> str:
        """Wait for the process. Return what went wrong; empty if nothing did."""
        stalled = 0.0
        size = _size(self.request.log)
        while not wait([future], _POLL_SECONDS).done:
            stalled = stalled + _POLL_SECONDS if _size(self.request.log) == size else 0.0
            size = _size(self.request.log)
            if stalled > self._stall_seconds:
                return f"no round ended within {self._stall_seconds:g} s"
        error = future.exception()
        return "" if error is None else f"{type(error).__name__}: {error}"


def first_runs(plan: StudyPlan) -> Mapping[str, RunSpec]:
    """Return the first run of each arm in each part, by key."""
    runs: dict[str, RunSpec] = {}
    for part in plan.plans:
        first: dict[str, RunSpec] = {}
        for run in part.runs:
            first.setdefault(run.arm, run)
        runs |= {run.key: run for run in first.values()}
    return runs


def _busy_seconds(result: RunResult | None) -> float:
    """Return how long a run took; 0 if it has no result."""
    return 0.0 if result is None else result.cost.busy_seconds


def _least_seconds(result: RunResult | None) -> float:
    """Return about how long the shortest turn of an arm takes, from the result of one of its
    runs.
    """
    if result is None or not result.steps:
        return 0.0
    decoded = result.cost.decode_tokens_per_second
    decoding = MIN_DECODED / decoded if decoded else 0.0
    return MIN_STEPS * result.cost.seconds / result.steps + decoding


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _work(request: TimingRequest) -> None:
    import torch

    worker = current_worker()
    torch.set_num_threads(next(iter(request.specs.values())).threads)
    time_arms(request, worker.registry, worker.stopping)
