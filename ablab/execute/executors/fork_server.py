"""The fork server from which a driver's workers start: it imports torch and Lightning once, so that
a worker starts in milliseconds.

The server belongs to `multiprocessing`. It never uses CUDA, and it ends when its driver and the
driver's workers have ended.
"""

import multiprocessing
import signal
import sys
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def process_context(devices: Sequence[str]) -> ForkServerContext | SpawnContext:
    """Return the `multiprocessing` context from which workers on `devices` are started. If it has a
    fork server, that is running.

    Workers that use GPUs are spawned. So are workers outside Linux: macOS does not support forking
    once its system frameworks are loaded.
    """
    if sys.platform != "linux" or any(devices):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ablab.execute.executors.preload"])
    resource_tracker.ensure_running()  # starting it would unblock the signals below
    # The server inherits the mask: a signal to the driver's process group must not end it before it
    # has left that group.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context
