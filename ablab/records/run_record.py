"""Run records: a folder a run, under the home. They are the truth; MLflow and Optuna are views that
can be rebuilt.

spec.json         what the run is
lease.json        who trains it now; its modification time is the heartbeat
metrics.jsonl     what was measured, by step
progress.json     how far it is
result.json       there when the run is finished
failure.json      why the run was given up; removed when the run is requested again
attempts.jsonl    every attempt that failed: reason, time, host, pid; kept for good
micro_batch.json  how many sequences fit at once, where not all did
stop.json         there when the run is asked to stop, with the reason. `cancelled` stays until the
                  run is requested again, `pruned` (a tuning or search had seen enough) for good
"""

import json
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ablab.errors import UserError
from ablab.files import read_json, write_atomically, write_json
from ablab.records.lease import Lease
from ablab.records.run_spec import RunSpec
from ablab.train.result import RunResult

_RESULT = TypeAdapter(RunResult)
StopKind = Literal["cancelled", "pruned"]


class Record:
    """One run's folder."""

    def __init__(self, home: Path, key: str) -> None:
        self.key = key
        self.folder = home / "runs" / key

    def lease(self) -> Lease:
        """The right to train it, to be taken or looked at."""
        return Lease(self.folder / "lease.json")

    def create(self, spec: RunSpec) -> None:
        """Writes the specification, once: unsynced, since what a power cut takes is written
        again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.spec is None:
            write_json(self.folder / "spec.json", asdict(spec), sync=False)

    @property
    def spec(self) -> RunSpec | None:
        """The specification; None if there is none, or one of another version."""
        content = _unsynced(self.folder / "spec.json")
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
    def failure(self) -> dict[str, Any] | None:
        """Why it was given up, if it was."""
        return read_json(self.folder / "failure.json")

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The attempts that failed, oldest first: reason, time (Unix), host, pid."""
        return _rows(self.folder / "attempts.jsonl")

    @property
    def stop_asked(self) -> bool:
        """Whether the run is asked to stop."""
        return (self.folder / "stop.json").exists()

    @property
    def stop_reason(self) -> str:
        """Why it is asked to stop; empty where it is not."""
        return self._stop().get("reason", "")

    @property
    def pruned(self) -> bool:
        """Whether a study ended it early, as a trial that lagged."""
        return self._stop().get("kind") == "pruned"

    @property
    def pruned_by(self) -> str | None:
        """The study that did; to any other it is a run like others."""
        return self._stop().get("owner", "") if self.pruned else None

    def clear_pruned(self) -> None:
        """Another study wants the whole run."""
        if self.pruned:
            (self.folder / "stop.json").unlink(missing_ok=True)

    def ask_to_stop(self, reason: str, kind: StopKind = "cancelled", owner: str = "") -> None:
        """Whoever trains it writes a checkpoint and ends; nobody begins. `owner`: the study that
        prunes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Unsynced: thousands may be asked at once, and a power cut stops them anyway.
        write_json(
            self.folder / "stop.json",
            {"reason": reason, "kind": kind, "owner": owner, "time": time.time()},
            sync=False,
        )

    def reset(self) -> None:
        """Takes back a cancellation, and forgets the failure. What was pruned stays so."""
        if self.stop_asked and not self.pruned:
            (self.folder / "stop.json").unlink(missing_ok=True)
        (self.folder / "failure.json").unlink(missing_ok=True)

    def _stop(self) -> dict[str, Any]:
        return _unsynced(self.folder / "stop.json")

    @property
    def progress(self) -> dict[str, Any]:
        """How far it is: share, train/loss, tokens_per_second."""
        return _unsynced(self.folder / "progress.json")

    @property
    def micro_batch(self) -> int | None:
        """The most sequences at once that are known to fit, where not all did."""
        return _unsynced(self.folder / "micro_batch.json").get("sequences")

    def note_micro_batch(self, sequences: int) -> None:
        """Takes no more than so many `sequences` at once from the next attempt on."""
        write_json(self.folder / "micro_batch.json", {"sequences": sequences}, sync=False)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows measured: step, time (Unix), and metrics by name. A line cut off by a kill is
        left out.
        """
        return _rows(self.folder / "metrics.jsonl")

    def keep_metrics(self, last_step: int) -> None:
        """Drops the rows after `last_step`: a resumed run measures them again."""
        kept = [row for row in self.metrics() if row["step"] <= last_step]
        content = "".join(json.dumps(row) + "\n" for row in kept).encode()
        write_atomically(self.folder / "metrics.jsonl", lambda file: file.write(content))

    def append_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a row."""
        _add(self.folder / "metrics.jsonl", {"step": step, "time": time.time(), **metrics})

    def finish(self, result: RunResult) -> None:
        """Writes the result; the run is finished from here on."""
        write_json(self.folder / "result.json", asdict(result))
        for name in ("failure.json", "stop.json", "progress.json", "checkpoint.ckpt"):
            (self.folder / name).unlink(missing_ok=True)

    def note_attempt(self, reason: str, pid: int | None = None) -> None:
        """Notes why an attempt failed; the run may be tried again."""
        attempt = {"reason": reason, "time": time.time(), "host": socket.gethostname(), "pid": pid}
        _add(self.folder / "attempts.jsonl", attempt)

    def fail(self, reason: str, detail: str = "", pid: int | None = None) -> None:
        """Notes why the last attempt failed: nobody tries again until the run is wanted again."""
        self.note_attempt(reason, pid)
        write_json(
            self.folder / "failure.json", {"reason": reason, "detail": detail, "time": time.time()}
        )


def _unsynced(path: Path) -> dict[str, Any]:
    """What was written without syncing; empty where there is no file, or a power cut damaged it."""
    try:
        found = read_json(path)
    except ValueError:  # no JSON, or no text
        return {}
    return found if isinstance(found, dict) else {}


def _add(path: Path, row: Mapping[str, Any]) -> None:
    """Adds a line to a file of JSON lines. The folder is made again: somebody may have removed it
    since.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON lines; none where there is no file."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def finished_keys(home: Path, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that are finished."""
    return {key for key in keys if Record(home, key).finished}


def settled_keys(home: Path, trials: Iterable[str]) -> set[str]:
    """Those trials that nothing will change by itself: finished, pruned, or failed."""
    records = (Record(home, key) for key in trials)
    return {
        record.key
        for record in records
        if record.finished or record.pruned or record.failure is not None
    }


def run_keys(home: Path) -> list[str]:
    """The keys of the runs that have a folder."""
    folder = home / "runs"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def find_record(home: Path, prefix: str, more: Iterable[str] = ()) -> Record:
    """The run whose key begins with `prefix`, among those with a folder and `more`. Raises
    UserError for none, or several.
    """
    keys = sorted({*run_keys(home), *more})
    found = [key for key in keys if prefix and key.startswith(prefix)]
    if not found:
        raise UserError(f"no run's key in {home} begins with {prefix!r} ({len(keys)} runs there)")
    if len(found) > 1:
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise UserError(
            f"{prefix!r} begins the keys of {len(found)} runs ({shown}): give more of one"
        )
    return Record(home, found[0])
