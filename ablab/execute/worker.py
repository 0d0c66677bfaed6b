"""What a worker process does: trains one run after another, and ends when its driver does."""

import os
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.execute.attempt import Means, RankFailed, attempt
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.train.parallel import ParallelContext, ParallelLayout

_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Setting:
    """What a worker needs to know beside its runs. `threads`: of each process of a run, which
    `layout` shares out. `device`: the GPUs that are its own, as CUDA_VISIBLE_DEVICES names them.
    """

    home: Path
    plugins: tuple[Path, ...]
    threads: int
    device: str | None = None
    layout: ParallelLayout = field(default_factory=ParallelLayout)
    compile: bool = False


class Worker:
    """The state of a worker process."""

    def __init__(self, setting: Setting, stop: Any) -> None:
        self.setting, self._stop = setting, stop
        self._parent = os.getppid()
        self._orphaned = False
        threading.Thread(target=self._watch, daemon=True).start()
        import torch

        torch.set_num_threads(setting.threads)
        from ablab.arch.composition.registry import load_registry

        self.registry = load_registry(setting.plugins)

    def stopping(self) -> bool:
        """Whether to write a checkpoint and end."""
        return self._orphaned or self._stop.is_set()

    def train(self, spec: RunSpec) -> AttemptOutcome:
        """Trains one run, or says why not. What goes wrong in a run is that run's failure, with its
        reason on record.
        """
        record = Record(self.setting.home, spec.key)
        lease = record.lease()
        if record.finished:
            return AttemptOutcome("finished")
        if not lease.acquire():
            return AttemptOutcome("held")
        with lease.kept():
            try:
                return _ended(record) or self._attempt(spec)
            except (Exception, SystemExit) as error:  # a plugin may call sys.exit
                return _failed(record, error)

    def _attempt(self, spec: RunSpec) -> AttemptOutcome:
        setting = self.setting
        if setting.layout.strategy != "single":
            from ablab.execute.process_group import train_together
            from ablab.execute.rank_main import Place

            record = Record(setting.home, spec.key)
            place = Place(
                setting.home,
                setting.plugins,
                Path(),
                spec,
                setting.layout,
                setting.threads,
                compile=setting.compile,
            )
            return train_together(place, lambda: self.stopping() or record.stop_asked)
        return attempt(
            spec,
            Means(setting.home, self.registry, self.stopping, setting.compile),
            ParallelContext(),
        )

    def _watch(self) -> None:
        """Ends this process when its driver is gone: after the step and a checkpoint if it can, at
        once if it can't.
        """
        while os.getppid() == self._parent:
            time.sleep(0.5)
        self._orphaned = True
        time.sleep(_GRACE_SECONDS)
        os._exit(1)


def _failed(record: Record, error: BaseException) -> AttemptOutcome:
    """Notes why an attempt failed."""
    if record.finished:  # one of its processes failed after that
        return AttemptOutcome("finished")
    known = isinstance(error, UserError | RankFailed)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    detail = getattr(error, "traceback", "") if known else traceback.format_exc()
    record.fail(reason, detail, os.getpid())
    return AttemptOutcome("failed", reason)


def _ended(record: Record) -> AttemptOutcome | None:
    """How the run ended, if it has. Looked at under the lease: another driver may have ended it
    just now.
    """
    if record.finished:
        return AttemptOutcome("finished")
    if record.stop_asked:
        return AttemptOutcome("stopped", record.stop_reason)
    failure = record.failure
    return AttemptOutcome("failed", failure["reason"]) if failure is not None else None


_worker: list[Worker] = []
_wrong: list[str] = []


def initialise(setting: Setting, stop: Any) -> None:
    """Sets a worker process up, once."""
    os.setpgid(0, 0)  # the driver alone hears what is sent to its group, and says so through `stop`
    if setting.device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setting.device  # read when CUDA is first used
    try:
        _worker.append(Worker(setting, stop))
    except (
        Exception,
        SystemExit,
    ) as error:  # told by `work`: raised here, only a traceback on the terminal would say so
        _wrong.append(
            str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        )


def work(spec: RunSpec) -> AttemptOutcome:
    """Trains `spec` in this worker process."""
    if _wrong:
        return AttemptOutcome(
            "unstarted", f"the worker process could not be set up: {_wrong[0]}", pid=os.getpid()
        )
    return _worker[0].train(spec)
