"""Decides what is left to time, and has a process of its own do it."""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

from pebble import ProcessPool

from ablab.execute.executors.fork_server import process_context
from ablab.execute.timing.rounds import TimingRequest, is_quiet, time_arms
from ablab.execute.worker import current_worker, initialise
from ablab.execute.worker_context import WorkerContext
from ablab.plan.plan import StudyPlan
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.study_record import StudyRecord
from ablab.records.timings import timing_id
from ablab.train.costs.arm_timer import MIN_STEPS
from ablab.train.costs.decoding import MIN_DECODED

_ROUNDS = 12
_MIN_ROUNDS = 4
_SHARE = 0.05  # of the time that the runs took
_MAX_SECONDS = 900.0
_TURN_SECONDS = 0.05  # shorter turns are hardly more than warming up
_MAX_TURN_SECONDS = 0.4


class TimingStage:
    """Times the arms of a finished study side by side: in one process with the threads of a run,
    each arm once in every round, in random order.

    It takes about a twentieth of the time that the runs took. Rounds are recorded one by one, so
    that an interrupted stage goes on with the next.
    """

    def __init__(self, record: StudyRecord, plan: StudyPlan, context: WorkerContext) -> None:
        self._context = context
        self.specs = timed_specs(plan)
        busy = sum(execution.busy_seconds for execution in record.executions)
        seconds = min(_SHARE * busy, _MAX_SECONDS)
        arms = max(len(self.specs), 1)
        self._least = sum(_least_seconds(context.home, run) for run in self.specs.values())
        shortest_round = max(self._least, arms * _TURN_SECONDS)
        rounds = min(_ROUNDS, max(_MIN_ROUNDS, int(seconds / shortest_round)))
        self.request = TimingRequest(
            specs=self.specs,
            log=record.timings.path,
            tokens=record.home.tokens,
            rounds=rounds,
            turn_seconds=min(_MAX_TURN_SECONDS, seconds / (arms * rounds)),
            patience_seconds=seconds,
            compile=context.compile,
        )
        self._timed = record.timings.rounds(set(self.specs))

    @property
    def due(self) -> bool:
        """Whether arms are still to be timed: rounds are missing, or other processes disturbed them
        and are quiet now.
        """
        if not self.specs or sum(r.quiet for r in self._timed) >= self.request.rounds:
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
        processes = process_context([self._context.device] if self._context.device else [])
        stop = processes.Event()
        pool = ProcessPool(
            max_workers=1,
            context=processes,
            initializer=initialise,
            initargs=[self._context, stop],
        )
        try:
            future: Future[None]
            future = pool.schedule(_work, args=[self.request])  # pyright: ignore[reportAssignmentType]
            error = future.exception()  # without it, the study's results are complete anyway
            return "" if error is None else f"{type(error).__name__}: {error}"
        finally:
            pool.stop()
            pool.join()


def timed_specs(plan: StudyPlan) -> Mapping[str, RunSpec]:
    """Return the first run of each arm by `timing_id`; arms that take the same time share one."""
    specs: dict[str, RunSpec] = {}
    for part in plan.plans:
        first: dict[str, RunSpec] = {}
        for run in part.runs:
            first.setdefault(run.arm, run)
        for run in first.values():
            specs.setdefault(timing_id(run), run)
    return specs


def _least_seconds(home: Path, run: RunSpec) -> float:
    """Return about how long the shortest turn of an arm takes, from the result of one of its
    runs.
    """
    result = Record(home, run.key).result
    if result is None or not result.steps:
        return 0.0
    decoded = result.cost.decode_tokens_per_second
    decoding = MIN_DECODED / decoded if decoded else 0.0
    return MIN_STEPS * result.cost.seconds / result.steps + decoding


def _work(request: TimingRequest) -> None:
    import torch

    worker = current_worker()
    torch.set_num_threads(next(iter(request.specs.values())).threads)
    time_arms(request, worker.registry, worker.stopping)
