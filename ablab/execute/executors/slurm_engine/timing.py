"""Timing arms side by side in a job of its own."""

import time
import uuid
from collections.abc import Callable

from ablab.execute.executors.base import Timing
from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.submission import Submission

_LOOK_SECONDS = 2.0
_MINUTES = 30  # twice as long as timing takes at most


def time_in_job(stage: Timing, submission: Submission) -> str:
    """Time arms in a job, and wait for it. Return what went wrong; empty if nothing did.

    Raises:
        KeyboardInterrupt: the job is killed, and its rounds so far are recorded.

    """
    name = f"timing-{uuid.uuid4().hex[:12]}"
    try:
        job = submission.submit_call(stage.on(None).run, name, _MINUTES)
        return _wait(job.paths.result_pickle.exists, job.result, name)
    except KeyboardInterrupt:
        queue.kill([name])
        raise
    except queue.SlurmError as error:
        return str(error)


def _wait(done: Callable[[], bool], result: Callable[[], str], name: str) -> str:
    while not done():
        time.sleep(_LOOK_SECONDS)
        if all(job.ends for job in queue.jobs().get(name, ())) and not done():
            return "its job has ended before"
    return result()
