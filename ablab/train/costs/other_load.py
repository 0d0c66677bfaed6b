"""The load that other processes put on the machine while something is timed."""

import os
import time

import psutil

from ablab.train.machine import cores

_MIN_SECONDS = 0.2  # the system counts processor time in steps of 10 ms


class OtherLoad:
    """Measures how many of the cores that this process may use are kept busy by other processes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._mark = self._now()

    def sample(self) -> float:
        """Return the mean number of busy cores since the last sample, or since this was made.

        Within 0.2 seconds of that it waits, since there would be nothing to measure.
        """
        time.sleep(max(0.0, self._mark[0] + _MIN_SECONDS - time.monotonic()))
        mark = self._now()
        busy = (mark[1] - self._mark[1]) - (mark[2] - self._mark[2])
        seconds = mark[0] - self._mark[0]
        self._mark = mark
        return min(max(busy / seconds, 0.0), float(cores()))

    def _now(self) -> tuple[float, float, float]:
        """Return the time, and the processor seconds of all processes and of this one so far."""
        own = self._process.cpu_times()
        return time.monotonic(), _busy_seconds(), own.user + own.system


def _busy_seconds() -> float:
    """Return the busy time of this process's cores since the system started."""
    every = psutil.cpu_times(percpu=True)
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(every))
    busy = 0.0
    for number in affinity:
        if number < len(every):
            fields = every[number]._asdict()
            idle = fields["idle"] + fields.get("iowait", 0.0)
            # Linux counts the time of guests within that of users.
            guests = fields.get("guest", 0.0) + fields.get("guest_nice", 0.0)
            busy += sum(fields.values()) - idle - guests
    return busy
