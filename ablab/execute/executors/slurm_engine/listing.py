"""What users are told of the jobs of a home, and cancelling those that have nothing left to do."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ablab.execute.executors.job_status import JobStatus
from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.array import Array, arrays_of
from ablab.execute.executors.slurm_engine.notes import ENDED, STARTED, notes
from ablab.execute.worker import recorded_outcome
from ablab.records.run_record import Record

_WORDS = {"COMPLETED": "done", "TIMEOUT": "timed out"}


def job_statuses(home: Path, keys: Collection[str]) -> list[JobStatus]:
    """Return the jobs that may train some of these runs of a home, the earliest first."""
    arrays = [array for array in arrays_of(home) if not set(array.keys).isdisjoint(keys)]
    if not arrays:
        return []
    try:
        queued = queue.jobs()
    except queue.SlurmError:  # as on a laptop that mounts the home
        queued = None
    return [status for array in arrays for status in _statuses(array, queued)]


def cancel_idle_jobs(home: Path) -> int:
    """Cancel the waiting jobs whose runs have all ended or are to stop. Return their number."""
    try:
        queued = queue.jobs()
    except queue.SlurmError:
        return 0
    count = 0
    for array in arrays_of(home):
        waiting = sum(job.waits for job in queued.get(array.name, ()))
        if waiting and all(recorded_outcome(Record(home, key)) for key in array.keys):
            with suppress(queue.SlurmError):  # they find nothing to do once they start
                queue.cancel_waiting(array.name)
                count += waiting
    return count


def _statuses(
    array: Array, queued: Mapping[str, Sequence[queue.QueuedJob]] | None
) -> Iterator[JobStatus]:
    jobs = {job.number: job for job in (queued or {}).get(array.name, ())}
    for number in range(array.jobs):
        rows = notes(array.folder, number)
        starts = [row for row in rows if row["state"] == STARTED]
        ends = [row["how"] for row in rows if row["state"] == ENDED and row["how"]]
        job = jobs.get(number)
        if not rows and (job is None or job.state == "CANCELLED"):
            continue  # cancelled before it started
        name = job.id if job is not None else next((row["job"] for row in starts), "?")
        host = f"on {starts[-1]['host']}" if starts else ""
        if job is not None and not job.ends:
            state = "waiting" if job.waits else "running"
            detail = job.reason.strip("()") if state == "waiting" else host
        elif job is not None:
            state, detail = _ended(job.state, host)
        elif ends:
            state, detail = _ended(ends[-1], host)
        elif queued is None:
            state, detail = "started", host
        else:
            state, detail = "dead", host
        yield JobStatus(name, state, detail, array.log(name))


def _ended(how: str, host: str) -> tuple[str, str]:
    """Return the word for how a job has ended, and what else is to be said."""
    word = _WORDS.get(how)
    return (word, host) if word is not None else ("dead", f"{how} {host}".strip())
