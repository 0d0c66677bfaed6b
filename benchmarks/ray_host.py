"""The actor for timed stand-in runs on Ray."""

from ablab.execute.executors import local
from ablab.execute.executors.ray_engine.host import Host
from ablab.execute.executors.ray_engine.need import Need
from ablab.execute.worker_context import WorkerContext
from benchmarks.engine_runs import initialise


class TimedHost(Host):
    """Trains stand-in runs that note when they begin."""

    def __init__(self, context: WorkerContext, need: Need) -> None:
        local.initialise = initialise
        super().__init__(context, need)
