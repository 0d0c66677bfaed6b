"""Files of a run's record that several processes read and write while the run is under way."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ablab.files import sync_file
from ablab.json_lines import append_row, read_rows, write_rows
from ablab.records.run_state import RunState
from ablab.sealed import DamagedFile, read_sealed, write_sealed

StopKind = Literal["cancelled", "pruned"]


class StopRequest:
    """A request that a run stop, in the file `path`.

    Whoever trains the run writes a checkpoint and ends, and nobody begins it.
    """

    def __init__(self, path: Path, home: Path) -> None:
        self._path = path
        self._home = home

    def request(self, reason: str, kind: StopKind = "cancelled", owner: str = "") -> None:
        """Ask the run to stop.

        Args:
            reason: why, for people.
            kind: `cancelled` until the run is requested again, or `pruned` for good, since a tuning
                or a search has seen enough.
            owner: the study that prunes.

        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = {"reason": reason, "kind": kind, "owner": owner, "time": time.time()}
        # Unsynced: thousands may be asked at once, and a power cut stops them anyway.
        write_sealed(self._path, content, sync=False)

    @property
    def requested(self) -> bool:
        """Whether the run is asked to stop."""
        return self._path.exists()

    @property
    def reason(self) -> str:
        """Why it is asked to stop; empty if it is not."""
        return self._read().get("reason", "")

    @property
    def pruned(self) -> bool:
        """Whether a study ended the run early, as a trial that lagged behind."""
        return self._read().get("kind") == "pruned"

    @property
    def pruned_by(self) -> str | None:
        """The study that pruned the run, which is a run like others to any other study."""
        content = self._read()
        return content.get("owner", "") if content.get("kind") == "pruned" else None

    @property
    def state(self) -> RunState:
        """State of a run that has stopped."""
        return RunState.PRUNED if self.pruned else RunState.CANCELLED

    def withdraw(self) -> None:
        """Withdraw a cancellation. A run that was pruned stays so."""
        if not self.pruned:
            self._path.unlink(missing_ok=True)

    def withdraw_pruning(self) -> None:
        """Withdraw a pruning, for another study that needs the whole run."""
        if self.pruned:
            self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        return read_unsynced(self._path, self._home)


class MetricsLog:
    """What a run measured, a row per step: `step`, `time` (Unix), and metrics by name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows. Lines that were cut off or damaged are left out."""
        return read_rows(self._path)

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append a row."""
        append_row(self._path, {"step": step, "time": time.time(), **metrics})

    def sync(self) -> int:
        """Have all rows survive a power failure, and return their number."""
        sync_file(self._path)
        return len(self.rows())

    def count(self, last_step: int) -> int:
        """Return the number of rows up to `last_step`."""
        return sum(row["step"] <= last_step for row in self.rows())

    def has_rows(self, last_step: int, rows: int) -> bool:
        """Return whether there are at least so many rows up to `last_step`."""
        return self.count(last_step) >= rows

    def truncate(self, last_step: int) -> None:
        """Drop the rows after `last_step`: a run that resumes measures them again."""
        write_rows(self._path, [row for row in self.rows() if row["step"] <= last_step])


class AttemptLog:
    """The attempts at a run that failed: `reason`, `time` (Unix), `host` and `pid`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> list[dict[str, Any]]:
        """Return the attempts, oldest first."""
        return read_rows(self._path)

    def add(self, reason: str, pid: int | None = None) -> None:
        """Add an attempt that failed. The run may be tried again."""
        row = {"reason": reason, "time": time.time(), "host": socket.gethostname(), "pid": pid}
        append_row(self._path, row)


def read_unsynced(path: Path, home: Path) -> dict[str, Any]:
    """Return a file that was written without syncing; empty if there is none, or it is damaged, as
    it may be after a power failure.
    """
    try:
        return read_sealed(path, home) or {}
    except DamagedFile:
        return {}
