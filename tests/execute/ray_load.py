"""Drives many stand-in runs through a Ray cluster of two nodes, while actors and nodes die.

`python -m tests.execute.ray_load HOME RUNS DEATHS` prints what it came to, as JSON.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ablab.execute.executors import local
from ablab.execute.executors.ray_engine.connection import Connection
from ablab.execute.executors.ray_engine.executor import Limits, RayExecutor
from ablab.execute.executors.ray_engine.host import Host
from ablab.execute.executors.ray_engine.need import Need
from ablab.execute.worker_context import WorkerContext
from ablab.records.run_record import Record
from ablab.spec.execution import RayOptions
from tests.execute.ray_nodes import Nodes, kill
from tests.execute.standin_runs import drive, initialise_gated, is_right, open_gate, specs_of
from tests.standin import Silent

NEED = Need(1.0, 0.0)
SLOTS = 2  # one on each node


class StandInHost(Host):
    """Trains stand-in runs."""

    def __init__(self, context: WorkerContext, need: Need) -> None:
        local.initialise = initialise_gated
        super().__init__(context, need)


class StandInExecutor(RayExecutor):
    """Has actors for stand-in runs."""

    host = StandInHost


class Deaths(Silent):
    """A display that kills as many actors and nodes, in turn, evenly over the runs. Nodes are
    replaced, which Ray does in the main thread only.

    Every slot has a run under way at a death: the runs after it wait for it.
    """

    def __init__(self, nodes: Nodes, home: Path, runs: int, deaths: int) -> None:
        super().__init__()
        self.number = 0
        self._nodes = nodes
        self._home = home
        self._gates = [runs * number // (deaths + 1) for number in range(1, deaths + 1)] + [runs]
        self._chance = random.Random(0)
        open_gate(home, self._gates[0])

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """Cause the next death, if it is due."""
        if len(self._gates) == 1 or not self._all_wait(running):
            return
        if self.number % 2 == 0:
            self._nodes.replace()
        elif not self._kill_actor():
            return
        self.number += 1
        del self._gates[0]
        open_gate(self._home, self._gates[0])

    def _all_wait(self, keys: Iterable[str]) -> bool:
        """Return whether each slot has a run that has begun, and waits for the next death."""
        waiting = [key for key in keys if int(key) >= self._gates[0]]
        return sum(Record(self._home, key).lease().path.exists() for key in waiting) == SLOTS

    def _kill_actor(self) -> bool:
        """Kill an actor; return whether there was one."""
        actors = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any("StandInHost" in part for part in process.info["cmdline"] or ())
        ]
        if actors:
            kill(self._chance.choice(actors))
        return bool(actors)


def main(home: Path, runs: int, deaths: int) -> None:
    """Train `runs` runs, and print how that went."""
    home.mkdir(exist_ok=True)
    nodes = Nodes()
    connection = Connection(RayOptions(address=nodes.address))
    connection.open()
    executor = StandInExecutor(connection, NEED, WorkerContext(home), Limits(SLOTS, False))
    faults = Deaths(nodes, home, runs, deaths)
    begin = time.monotonic()
    summary = drive(home, executor, runs, faults)
    seconds = time.monotonic() - begin
    connection.close()
    nodes.close()
    print(
        json.dumps(
            {
                "trained": summary.trained,
                "failed": summary.failed,
                "said": faults.said,
                "broken": summary.broken,
                "deaths": faults.number,
                "seconds": round(seconds, 1),
                "wrong": [spec.key for spec in specs_of(runs) if not is_right(home, spec)],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
