"""A Ray cluster of two nodes with one CPU each on this machine, in a process of its own.

It prints `address HOST:PORT`. For a line `replace` on its standard input it kills the second node
with all its processes, starts another one and prints `replaced`; it ends with its input.
"""

import sys
from contextlib import suppress
from typing import Any

import psutil

RAY_SETTINGS = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
# Containers have little shared memory, and no object is large.
_NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


def kill(process: psutil.Process) -> None:
    """Kill a process with all that it started, as when a machine is switched off."""
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


class Nodes:
    """The cluster."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args=_NODE)
        self._second = self._cluster.add_node(**_NODE)
        self.address: str = self._cluster.address

    def replace(self) -> None:
        """Kill the second node without warning, and add another one."""
        (raylet,) = self._second.all_processes["raylet"]
        kill(psutil.Process(raylet.process.pid))
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**_NODE)

    def close(self) -> None:
        """End the cluster."""
        self._cluster.shutdown()


def main() -> None:
    """Serve commands until the input ends."""
    nodes = Nodes()
    print(f"address {nodes.address}", flush=True)
    for line in sys.stdin:
        if line.strip() == "replace":
            nodes.replace()
            print("replaced", flush=True)
    nodes.close()


if __name__ == "__main__":
    main()
