"""Which engine carries out a study: a new one is a file or folder beside this one and a line here.

Engines are imported when they are chosen, since each has libraries of its own.
"""

from ablab.errors import UserError
from ablab.execute.executors.base import Engine
from ablab.execute.executors.cluster import ClusterEngine, find_cluster
from ablab.execute.executors.local import LocalEngine
from ablab.execute.worker_context import WorkerContext
from ablab.spec.study import Study


def follow_driver(context: WorkerContext) -> bool:
    """Return False if this process is the driver. If it is one of several that a launcher started,
    and not the first, train what the driver assigns to it and return True when there is nothing
    more.
    """
    cluster = find_cluster()
    if cluster is None or cluster.rank == 0:
        return False
    cluster.follow(context)
    return True


def choose_engine(study: Study) -> Engine:
    """Return the engine of the study, or of the processes that a launcher started.

    Raises UserError if the engine is not installed, or if a launcher was used with it.
    """
    cluster = find_cluster()
    name = study.execution.engine
    if cluster is not None:
        if study.execution.elsewhere:
            raise UserError(
                f"execution.engine: {name} starts the processes of runs itself: start `ablab run` "
                "without torchrun or srun"
            )
        return ClusterEngine(cluster, study)
    if name == "ray":
        from ablab.execute.executors.ray_engine.engine import RayEngine

        return RayEngine(study)
    if name == "slurm":
        from ablab.execute.executors.slurm_engine.engine import SlurmEngine

        return SlurmEngine(study)
    return LocalEngine(study)
