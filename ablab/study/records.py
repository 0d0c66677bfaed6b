"""Run records: a folder a run, under the home. They are the truth; MLflow and Optuna are views that can be rebuilt.

spec.json       what the run is                 lease.json      who trains it now; its modification time is the heartbeat
metrics.jsonl   what was measured, by step      progress.json   how far it is
result.json     there when it is finished       failure.json    why the last attempt failed
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ablab.files import read_json, write_atomically, write_json

if TYPE_CHECKING:
    from ablab.study.plan import RunSpec

STALE_SECONDS = 30.0
BEAT_SECONDS = 5.0


class Record:
    """One run's folder."""

    def __init__(self, home: Path, key: str) -> None:
        self.key = key
        self.folder = home / "runs" / key

    def create(self, spec: "RunSpec") -> None:
        """Writes the specification, once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "spec.json").exists():
            write_json(self.folder / "spec.json", asdict(spec))

    @property
    def spec(self) -> dict[str, Any] | None:
        """The specification."""
        return read_json(self.folder / "spec.json")

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return (self.folder / "result.json").exists()

    @property
    def result(self) -> dict[str, Any] | None:
        """The result, if finished."""
        return read_json(self.folder / "result.json")

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the last attempt failed, if it did."""
        return read_json(self.folder / "failure.json")

    @property
    def progress(self) -> dict[str, Any]:
        """How far it is: share, train/loss, tokens_per_second."""
        return read_json(self.folder / "progress.json") or {}

    def metrics(self) -> list[dict[str, Any]]:
        """The rows measured: step, time (Unix), and metrics by name. A line cut off by a kill is left out."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def keep_metrics(self, last_step: int) -> None:
        """Drops the rows after `last_step`: a resumed run measures them again."""
        kept = [row for row in self.metrics() if row["step"] <= last_step]
        content = "".join(json.dumps(row) + "\n" for row in kept).encode()
        write_atomically(self.folder / "metrics.jsonl", lambda file: file.write(content))

    def append_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a row."""
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "time": time.time(), **metrics}) + "\n")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes the result; the run is finished from here on."""
        write_json(self.folder / "result.json", result)
        for name in ("failure.json", "progress.json", "checkpoint.ckpt"):
            (self.folder / name).unlink(missing_ok=True)

    def fail(self, reason: str, detail: str = "") -> None:
        """Notes why an attempt failed."""
        write_json(self.folder / "failure.json", {"reason": reason, "detail": detail, "time": time.time()})


class Lease:
    """The right to train a run. A stale lease is taken over."""

    def __init__(self, record: Record) -> None:
        self.path = record.folder / "lease.json"

    def acquire(self) -> bool:
        """Whether we have it now."""
        for _ in range(2):
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                if self.held():
                    return False
                self._clear()
                continue
            with os.fdopen(handle, "w") as file:
                json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
            return True
        return False

    def held(self) -> bool:
        """Whether a live process holds it: its heart beats, and on this host it exists."""
        try:
            age = time.time() - self.path.stat().st_mtime
            owner = read_json(self.path) or {}
        except (FileNotFoundError, json.JSONDecodeError):
            return self.path.exists()
        here = owner.get("host") == socket.gethostname()
        return age < STALE_SECONDS and (not here or psutil.pid_exists(owner["pid"]))

    def beat(self) -> None:
        """Says that we are alive."""
        os.utime(self.path)

    def release(self) -> None:
        """Gives it back."""
        self.path.unlink(missing_ok=True)

    def _clear(self) -> None:
        # Only one of several takers renames a given file; the others find it gone and try to create their own.
        grave = self.path.with_name(f".stale-{os.getpid()}-{time.time_ns()}")
        try:
            os.rename(self.path, grave)
            grave.unlink()
        except FileNotFoundError:
            return


def finished_keys(home: Path, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that are finished."""
    return {key for key in keys if Record(home, key).finished}
