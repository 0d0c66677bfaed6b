"""What the jobs of an array note in its folder, in a file each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablab.json_lines import append_row, read_rows

STARTED = "started"
"""A job has started: `job` is its id and `host` the machine."""
BEGAN = "began"
"""A run is handed to the worker process. A row with the outcome follows."""
ENDED = "ended"
"""A job has ended: `how` is SLURM's word for it."""


def note(folder: Path, number: int, row: Mapping[str, Any]) -> None:
    """Append a row to the notes of a job."""
    append_row(_path(folder, number), row)


def notes(folder: Path, number: int) -> list[dict[str, Any]]:
    """Return the rows of a job; none if it has not started."""
    return read_rows(_path(folder, number))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.jsonl"
