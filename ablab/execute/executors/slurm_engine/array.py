"""An array of jobs: its folder in the home, and what its jobs have noted there."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablab.execute.executors.job_status import JOBS
from ablab.execute.executors.slurm_engine.notes import notes
from ablab.sealed import DamagedFile, read_sealed, write_sealed

_FILE = "array.json"
_STOP = "stop"
_TAKEN = "taken"


@dataclass
class Array:
    """Jobs that were submitted together, and share a list of runs."""

    folder: Path
    keys: tuple[str, ...]
    """Keys of the runs."""
    jobs: int
    """Number of jobs."""
    submitted: float
    """When, in seconds since the epoch."""
    _read: dict[int, int] = field(default_factory=dict)  # rows that were read, by job

    @classmethod
    def create(cls, home: Path, keys: Sequence[str], jobs: int) -> "Array":
        """Write the file of an array, before its jobs are submitted."""
        array = cls(home / JOBS / uuid.uuid4().hex[:12], tuple(keys), jobs, time.time())
        array.folder.mkdir(parents=True)
        content = {"keys": list(array.keys), "jobs": jobs, "submitted": array.submitted}
        write_sealed(array.folder / _FILE, content)
        return array

    @classmethod
    def open(cls, folder: Path) -> "Array":
        """Read the file of an array.

        Raises:
            DamagedFile: if it is damaged, or not there.

        """
        content = read_sealed(folder / _FILE, folder.parent.parent)
        if content is None:
            raise DamagedFile(folder / _FILE, "it is not there")
        return cls(folder, tuple(content["keys"]), content["jobs"], content["submitted"])

    @property
    def name(self) -> str:
        """Its name in the home."""
        return self.folder.name

    @property
    def stopping(self) -> bool:
        """Whether its jobs are to write checkpoints and end."""
        return (self.folder / _STOP).exists()

    def stop(self) -> None:
        """Have its jobs write checkpoints and end."""
        (self.folder / _STOP).touch()

    def take(self, key: str, number: int) -> bool:
        """Have a job take a run, and return whether it may train it. A run is begun by one job of
        an array: whether it is tried again when that job is gone is the driver's decision.
        """
        mark = self.folder / _TAKEN / key
        mark.parent.mkdir(exist_ok=True)
        try:
            with mark.open("x") as file:
                file.write(str(number))
        except FileExistsError:
            return mark.read_text() == str(number)  # it was queued again
        return True

    def give_back(self, key: str) -> None:
        """Let any job of the array take a run that was interrupted."""
        (self.folder / _TAKEN / key).unlink(missing_ok=True)

    def new_notes(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield what its jobs have noted since the last call, each with the job's number."""
        for number in range(self.jobs):
            rows = notes(self.folder, number)
            for row in rows[self._read.get(number, 0) :]:
                yield number, row
            self._read[number] = len(rows)

    def log(self, job: str) -> Path:
        """Return the path of the log of a job, by its id: that of its first process."""
        return self.folder / f"{job}_0_log.out"


def arrays_of(home: Path) -> list[Array]:
    """Return the arrays that were submitted for a home, in the order of their submission."""
    arrays = []
    for path in (home / JOBS).glob(f"*/{_FILE}"):
        with suppress(DamagedFile):  # its runs are submitted again, and leases keep them apart
            arrays.append(Array.open(path.parent))
    return sorted(arrays, key=lambda array: array.submitted)
