"""The processes that share a run, started and supervised by the worker that has the run: if one of
them dies, all end.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ablab.execute.attempt import RankFailed, exit_cause
from ablab.execute.rank_messages import RankReport, RankTask
from ablab.execute.worker_context import WorkerContext
from ablab.records.lease import Lease
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec

_POLL_SECONDS = 0.1
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def train_together(
    spec: RunSpec, context: WorkerContext, lease: Lease, should_stop: Callable[[], bool]
) -> AttemptOutcome:
    """Train a run in as many processes as the layout has; they all belong to the worker's `lease`.

    If memory is short, all of them start again with smaller micro-batches. Raises RankFailed as
    soon as one of them fails; none is left running then.
    """
    while True:
        with tempfile.TemporaryDirectory(prefix="ablab-") as folder:
            outcome = _RankProcesses(spec, context, lease, Path(folder)).run(should_stop)
        if outcome is not None:
            return outcome


class _RankProcesses:
    def __init__(self, spec: RunSpec, context: WorkerContext, lease: Lease, folder: Path) -> None:
        ranks = range(context.layout.processes)
        self._tasks = [RankTask(spec, context, lease.nonce, folder, rank) for rank in ranks]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(spec.threads),
            "GLOO_SOCKET_IFNAME": _LOOPBACK,
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "ablab.execute.rank_main"]
        self._processes: list[subprocess.Popen[bytes]] = []
        for task in self._tasks:
            with task.log.open("wb") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
                )
            self._processes.append(process)
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has died already: its exit code tells
                task.send(process.stdin)

    def run(self, should_stop: Callable[[], bool]) -> AttemptOutcome | None:
        """Wait for the processes; return None if memory was short."""
        stop_requested = False
        try:
            while any(process.poll() is None for process in self._processes):
                if any(process.poll() not in (None, 0) for process in self._processes):
                    break
                if not stop_requested and should_stop():
                    stop_requested = True
                    self._request_stop()
                time.sleep(_POLL_SECONDS)
        finally:
            codes = [process.poll() for process in self._processes]
            for process in self._processes:
                process.kill()
                process.wait()
        return self._outcome(codes)

    def _request_stop(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(b"stop\n")
                process.stdin.flush()

    def _outcome(self, codes: list[int | None]) -> AttemptOutcome | None:
        """Return what the main process reported. `codes` has the exit code of each process, None
        for one that was still running when another failed.
        """
        reports = [task.read_report() for task in self._tasks]
        if all(code == 0 for code in codes):
            assert reports[0] is not None
            return reports[0].outcome
        if any(report is not None and report.memory_short for report in reports):
            return None
        for report in reports:
            if report is not None and report.blocked:
                return report.outcome
        failures: list[RankReport] = []
        for task, code, report in zip(self._tasks, codes, reports, strict=True):
            if not code:
                continue
            if report is None:  # the failures of the others follow from this one
                died = f"process {task.rank} of {len(codes)} died ({exit_cause(code)})"
                raise RankFailed(died + _last_line(task.log))
            failures.append(report)
        first = min(failures, key=lambda report: report.time)
        raise RankFailed(first.reason, first.traceback)


def _last_line(log: Path) -> str:
    text = log.read_text(errors="replace").strip()
    return f": {text.splitlines()[-1]}" if text else ""
