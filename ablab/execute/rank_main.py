"""One of the processes that share a run: `python -m ablab.execute.rank_main`.

It reads a pickled `RankTask` from its standard input. A line after that asks it to write a
checkpoint and end. When its standard input closes, the worker is gone and it ends at once.
"""

import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path

from ablab.arch.composition.guard import end_process, reason_of
from ablab.errors import UserError, machine_fault
from ablab.execute.attempt import attempt
from ablab.execute.rank_messages import RankReport, RankTask
from ablab.fence import fenced
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.train.parallel import MemoryShort, ParallelContext


def main() -> None:
    """Train, and report how that ended."""
    task = RankTask.receive(sys.stdin.buffer)
    stop = threading.Event()
    # Sent to all processes of a job: they end together, after a step and a checkpoint.
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    threading.Thread(target=_listen, args=(stop, task.folder), daemon=True).start()
    try:
        report = RankReport(outcome=_train(task, stop))
    except MemoryShort:
        report = RankReport(memory_short=True)
    except UserError as error:
        report = RankReport(reason=str(error))
    except BaseException as error:  # a plugin may raise anything
        report = _failure(error)
    task.write_report(report)
    # Not sys.exit: leaving the process group would wait for processes that may never answer.
    end_process(0 if report.outcome is not None and not report.blocked else 1)


def _failure(error: BaseException) -> RankReport:
    fault = machine_fault(error)
    if fault is not None:
        return RankReport(outcome=AttemptOutcome(RunState.BLOCKED, fault))
    return RankReport(reason=reason_of(error), traceback=traceback.format_exc())


def _train(task: RankTask, stop: threading.Event) -> AttemptOutcome:
    import torch
    import torch.distributed as dist

    layout = task.context.layout
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(task.rank % layout.local)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"file://{task.rendezvous}",
        rank=task.rank,
        world_size=layout.processes,
    )
    from ablab.arch.composition.registry import load_registry

    registry = load_registry(task.context.plugins)
    parallel = ParallelContext.join(layout, device)
    record = Record(task.context.home, task.spec.key)
    with fenced(record.folder, record.lease(task.lease).fence):
        outcome = attempt(task.spec, task.context, registry, parallel, stop.is_set)
    dist.barrier()  # no process leaves while another still needs it
    return outcome


def _listen(stop: threading.Event, folder: Path) -> None:
    if sys.stdin.buffer.readline():
        stop.set()
        sys.stdin.buffer.readline()
    shutil.rmtree(folder, ignore_errors=True)  # the worker that made it is gone
    end_process(1)


if __name__ == "__main__":
    main()
