"""What SLURM says of jobs."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SECONDS = 60.0
_NAME_PREFIX = "ablab-"


class SlurmError(Exception):
    """A command of SLURM failed, or its controller does not answer."""


@dataclass(frozen=True)
class QueuedJob:
    """A job as `squeue` shows it."""

    id: str
    """As `12_3` for task 3 of array 12."""
    state: str
    """As `PENDING` or `RUNNING`."""
    reason: str
    """Why it waits, or where it runs."""
    ends: bool
    """Whether it has ended; SLURM remembers that for some minutes."""

    @property
    def waits(self) -> bool:
        """Whether no process of it runs now: it has not started, is queued again or suspended."""
        return not self.ends and self.state not in _RUNNING

    @property
    def number(self) -> int:
        """Its number in the array; 0 for a job of its own."""
        return int(self.id.partition("_")[2] or 0)


_RUNNING = ("RUNNING", "COMPLETING", "SIGNALING", "RESIZING", "STAGE_OUT")
_WAITING = (
    "PENDING",
    "CONFIGURING",
    "SUSPENDED",
    "STOPPED",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
)


def job_name(array: str) -> str:
    """Return the name of the jobs of an array; `array` is its name in the home."""
    return _NAME_PREFIX + array


def jobs() -> Mapping[str, Sequence[QueuedJob]]:
    """Return this user's jobs that train runs, by the name of their array in a home.

    Raises:
        SlurmError: if the controller does not answer.

    """
    output = run(
        ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%j|%R"]
    )
    found: dict[str, list[QueuedJob]] = {}
    for line in output.splitlines():
        job, state, name, reason = line.strip().split("|", 3)
        if name.startswith(_NAME_PREFIX):
            ends = state not in (*_RUNNING, *_WAITING)
            found.setdefault(name.removeprefix(_NAME_PREFIX), []).append(
                QueuedJob(job, state, reason, ends)
            )
    return found


def cancel_waiting(array: str) -> None:
    """Cancel the jobs of an array that have not started."""
    _cancel(array, "--state=PENDING")


def kill(array: str) -> None:
    """Cancel the jobs of an array that have not started, and kill the others."""
    _cancel(array, "--state=PENDING")
    _cancel(array, "--signal=KILL")


def kill_job(job: str) -> None:
    """Kill one job."""
    run(["scancel", "--quiet", "--signal=KILL", job])


def _cancel(array: str, option: str) -> None:
    run(["scancel", "--quiet", "--me", option, f"--name={job_name(array)}"])


def run(command: Sequence[str]) -> str:
    """Return what a command prints.

    Raises:
        SlurmError: if it fails, with its message.

    """
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise SlurmError(f"{command[0]} is not installed here") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if ended.returncode != 0:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        raise SlurmError(lines[-1] if lines else f"{command[0]}: status {ended.returncode}")
    return ended.stdout
