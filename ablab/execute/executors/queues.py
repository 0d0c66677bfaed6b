"""The jobs that engines have put into queues, for whoever looks after them: `ablab status` and
`ablab cancel`. Imports no engine before there are jobs.
"""

from collections.abc import Collection
from pathlib import Path

from ablab.execute.executors.job_status import JOBS, JobStatus


def job_statuses(home: Path, keys: Collection[str]) -> list[JobStatus]:
    """Return the jobs that engines have put into queues and that may train some of these runs."""
    if not (home / JOBS).is_dir():
        return []
    from ablab.execute.executors.slurm_engine.listing import job_statuses

    return job_statuses(home, keys)


def cancel_idle_jobs(home: Path) -> int:
    """Cancel the jobs in queues whose runs have all ended or are to stop. Return their number."""
    if not (home / JOBS).is_dir():
        return 0
    from ablab.execute.executors.slurm_engine.listing import cancel_idle_jobs

    return cancel_idle_jobs(home)
