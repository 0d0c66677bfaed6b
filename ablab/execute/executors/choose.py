"""Which engine carries out an `ablab run`: a new one is a file beside this one and a line here."""

from ablab.execute.executors.base import Engine
from ablab.execute.executors.cluster import find_cluster_engine
from ablab.execute.executors.local import LocalEngine


def choose_engine() -> Engine:
    """Return the engine for the processes that a launcher started, else the local one."""
    return find_cluster_engine() or LocalEngine()
