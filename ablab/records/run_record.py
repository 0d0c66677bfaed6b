"""Run records: one folder per run, in the home. They are the truth; what MLflow and Optuna show can
be rebuilt from them.

spec.json         specification of the run
lease.json        the process that trains it; its modification time is the heartbeat
metrics.jsonl     measurements, by step
progress.json     progress of the present attempt
result.json       result of a finished run
val_windows.npz   final validation scores by window of a finished run
failure.json      why the run was given up; removed when the run is requested again
attempts.jsonl    every attempt that failed: reason, time, host, pid; never removed
micro_batch.json  number of sequences that fit at once, if not all did
stop.json         a request to stop, with its reason; `cancelled` until the run is requested again,
                  `pruned` (a tuning or a search has seen enough) for good
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ablab.errors import UserError
from ablab.files import read_json, write_json
from ablab.records.lease import Lease
from ablab.records.run_files import AttemptLog, MetricsLog, StopRequest, read_unsynced
from ablab.records.run_spec import RunSpec
from ablab.train.result import RunResult
from ablab.train.window_scores import WINDOW_SCORES, WindowScores

_RESULT = TypeAdapter(RunResult)


class Record:
    """The record of a run. `home` is the folder of records."""

    def __init__(self, home: Path, key: str) -> None:
        self.key = key
        self.folder = home / "runs" / key
        self.stop = StopRequest(self.folder / "stop.json")
        self.metrics = MetricsLog(self.folder / "metrics.jsonl")
        self.attempts = AttemptLog(self.folder / "attempts.jsonl")

    def lease(self) -> Lease:
        """Return the lease that a process holds while it trains the run."""
        return Lease(self.folder / "lease.json")

    def create(self, spec: RunSpec) -> None:
        """Write the specification, unless there is one.

        It is not synced to disk: what a power cut takes is written again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.spec is None:
            write_json(self.folder / "spec.json", asdict(spec), sync=False)

    @property
    def spec(self) -> RunSpec | None:
        """The specification; None if there is none, or one of another version."""
        content = read_unsynced(self.folder / "spec.json")
        try:
            return RunSpec.read(content) if content else None
        except ValueError:
            return None

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return (self.folder / "result.json").exists()

    @property
    def result(self) -> RunResult | None:
        """The result; None unless the run is finished.

        Raises:
            UserError: if it cannot be read.

        """
        path = self.folder / "result.json"
        content = read_json(path)
        if content is None:
            return None
        try:
            result = _RESULT.validate_python(content)
        except ValueError as error:
            raise UserError(
                f"{path} was written by another version of ablab, or damaged"
            ) from error
        if "kv_cache_bytes" not in content["cost"] and result.device == "cpu":
            # Before the cache was measured, the peak memory of a CPU run was the worker's resident
            # memory, which earlier runs had raised.
            result = replace(result, cost=replace(result.cost, peak_memory_bytes=None))
        return result

    @property
    def window_scores(self) -> WindowScores | None:
        """Final validation scores by window; None if the run has none, as runs of earlier versions
        of ablab.
        """
        return WindowScores.read(self.folder / WINDOW_SCORES)

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the run was given up; None unless it was."""
        return read_json(self.folder / "failure.json")

    def reset(self) -> None:
        """Withdraw a cancellation and clear a failure. A run that was pruned stays so."""
        self.stop.withdraw()
        (self.folder / "failure.json").unlink(missing_ok=True)

    @property
    def progress(self) -> dict[str, Any]:
        """Progress of the present attempt: `share` of the budget, and metrics by name."""
        return read_unsynced(self.folder / "progress.json")

    @property
    def micro_batch(self) -> int | None:
        """Maximum number of sequences that fit at once; None if all of a batch do."""
        return read_unsynced(self.folder / "micro_batch.json").get("sequences")

    def note_micro_batch(self, sequences: int) -> None:
        """Limit the number of sequences at once, from the next attempt on."""
        write_json(self.folder / "micro_batch.json", {"sequences": sequences}, sync=False)

    def finish(self, result: RunResult) -> None:
        """Write the result, which makes the run a finished one."""
        write_json(self.folder / "result.json", asdict(result))
        for name in ("failure.json", "stop.json", "progress.json", "checkpoint.ckpt"):
            (self.folder / name).unlink(missing_ok=True)

    def fail(self, reason: str, detail: str = "", pid: int | None = None) -> None:
        """Give the run up: nobody tries it again until it is reset."""
        self.attempts.add(reason, pid)
        write_json(
            self.folder / "failure.json", {"reason": reason, "detail": detail, "time": time.time()}
        )


def finished_keys(home: Path, keys: Iterable[str]) -> set[str]:
    """Return the keys of the runs that are finished."""
    return {key for key in keys if Record(home, key).finished}


def settled_keys(home: Path, trials: Iterable[str]) -> set[str]:
    """Return the keys of the trials that are finished, pruned or failed: nothing changes them."""
    records = (Record(home, key) for key in trials)
    return {
        record.key
        for record in records
        if record.finished or record.stop.pruned or record.failure is not None
    }


def run_keys(home: Path) -> list[str]:
    """Return the keys of the runs that have a folder."""
    folder = home / "runs"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def find_record(home: Path, prefix: str, more: Iterable[str] = ()) -> Record:
    """Return the run whose key begins with `prefix`, among those with a folder and `more`.

    Raises:
        UserError: if there is none, or several.

    """
    keys = sorted({*run_keys(home), *more})
    matches = [key for key in keys if prefix and key.startswith(prefix)]
    if not matches:
        raise UserError(f"no run's key in {home} begins with {prefix!r} ({len(keys)} runs there)")
    if len(matches) > 1:
        examples = ", ".join(matches[:3]) + (", …" if len(matches) > 3 else "")
        raise UserError(
            f"{prefix!r} begins the keys of {len(matches)} runs ({examples}): give more of one"
        )
    return Record(home, matches[0])
