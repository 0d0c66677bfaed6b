"""What is told of a job in a queue."""

from dataclasses import dataclass
from pathlib import Path

JOBS = "jobs"
"""Folder in a home where engines with a queue keep what they know of their jobs."""


@dataclass(frozen=True)
class JobStatus:
    """A job that an engine has put into a queue."""

    id: str
    """As the queue names it."""
    state: str
    """`waiting`, `running`, `done`, `timed out` or `dead`; `started` where the queue cannot be
    asked.
    """
    detail: str
    """Why it waits, where it runs, or how it ended."""
    log: Path
    """The file with what it printed."""
