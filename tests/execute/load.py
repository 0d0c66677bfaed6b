"""Drives many stand-in runs in real worker processes, of which one is killed every second.

`python -m tests.execute.load HOME RUNS` prints what it came to, as JSON.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from ablab.execute.executors import local
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.worker_context import WorkerContext
from tests.execute.standin_runs import drive, initialise, is_right, specs_of

WORKERS = 8


def workers() -> Iterator[psutil.Process]:
    """The worker processes: children of the fork server."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("forkserver" in part for part in child.cmdline()):
                yield from child.children()


class Fire:
    """Kills a worker every second, and notes the driver's memory."""

    def __init__(self) -> None:
        self.kills = 0
        self.memory: list[int] = []  # resident bytes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._burn)
        self._chance = random.Random(0)

    def __enter__(self) -> "Fire":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _burn(self) -> None:
        while not self._ended.wait(1.0):
            self.memory.append(psutil.Process().memory_info().rss)
            if victims := list(workers()):
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(victims).pid, signal.SIGKILL)
                    self.kills += 1


def main(home: Path, runs: int) -> None:
    """Train `runs` runs, and print how that went."""
    local.initialise = initialise
    executor = LocalExecutor(WORKERS, WorkerContext(home))
    begin = time.monotonic()
    with Fire() as fire:
        summary = drive(home, executor, runs)
    seconds = time.monotonic() - begin
    memory = fire.memory
    print(
        json.dumps(
            {
                "trained": summary.trained,
                "failed": summary.failed,
                "broken": summary.broken,
                "kills": fire.kills,
                "seconds": round(seconds, 1),
                "memory_early_mb": round(memory[len(memory) // 4] / 1e6, 1),
                "memory_late_mb": round(memory[-1] / 1e6, 1),
                "wrong": [spec.key for spec in specs_of(runs) if not is_right(home, spec)],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
