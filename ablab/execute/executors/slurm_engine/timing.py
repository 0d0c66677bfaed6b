"""Timing arms side by side in a job of its own."""

import time
import uuid
from contextlib import suppress
from typing import Any

from ablab.execute.executors.base import Timing
from ablab.execute.executors.slurm_engine import queue
from ablab.execute.executors.slurm_engine.submission import Submission

_LOOK_SECONDS = 1.0
_ASK_SECONDS = 10.0
_MINUTES = 30  # twice as long as timing takes at most


def time_in_job(stage: Timing, submission: Submission) -> str:
    """Time arms in a job, and wait for it. Return what went wrong; empty if nothing did.

    Raises:
        KeyboardInterrupt: the job is killed, and its rounds so far are recorded.

    """
    name = f"timing-{uuid.uuid4().hex[:12]}"
    try:
        job = submission.submit_call(stage.on(None).run, name, _MINUTES)
        return _outcome(job, name)
    except queue.SlurmError as error:
        return str(error)
    finally:
        with suppress(queue.SlurmError):
            queue.kill(name)  # if it has not ended by itself


def _outcome(job: Any, name: str) -> str:
    """Wait for a job of submitit, and return what its call returned, or why it did not."""
    from submitit.core.utils import UncompletedJobError

    ask_time = time.monotonic() + _ASK_SECONDS
    result = job.paths.result_pickle
    while not result.exists():
        time.sleep(_LOOK_SECONDS)
        if time.monotonic() > ask_time:
            ask_time = time.monotonic() + _ASK_SECONDS
            with suppress(queue.SlurmError):  # the controller may be away for a while
                ended = all(other.ends for other in queue.jobs().get(name, ()))
                if ended and not result.exists():
                    return f"its job ended before; {job.paths.stdout} has what it said"
    try:
        return job.result()
    except UncompletedJobError:  # also for an exception in the job, with its traceback
        return f"its job failed; {job.paths.stdout} has what it said"
