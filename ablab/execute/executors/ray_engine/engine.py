"""The Ray engine of a study."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from ablab.errors import UserError, reason
from ablab.execute.executors.base import Executor, Timing, require_untimed
from ablab.execute.executors.ray_engine.connection import Connection
from ablab.execute.executors.ray_engine.executor import Actor, Limits, RayExecutor
from ablab.execute.executors.ray_engine.need import Need
from ablab.execute.worker_context import WorkerContext
from ablab.spec.study import Study

_PLACE_SECONDS = 120.0


class RayEngine:
    """Places runs on the nodes of a Ray cluster.

    Raises:
        UserError: if Ray is not installed.

    """

    queues = False

    def __init__(self, study: Study) -> None:
        self._study = study
        self._connection = Connection(study.execution.ray)

    @cached_property
    def _need(self) -> Need:
        """What a run takes of the cluster, which must be connected."""
        hardware = self._study.hardware
        uses_gpus = hardware.accelerator != "cpu"
        return self._connection.need(hardware.devices, hardware.threads, gpus=uses_gpus)

    def check(self, context: WorkerContext, runs: int) -> None:
        """Raise UserError if the cluster cannot be reached, or its nodes cannot train the runs."""
        if context.layout.nodes > 1:
            raise UserError(
                f"hardware.nodes: {context.layout.nodes}: on Ray, the processes of a run share a "
                "node; take engine local, started by torchrun or srun"
            )
        require_untimed(self._study)
        if runs:
            self._connection.open()
            self._connection.check(self._need, [context.home, *context.plugins])

    def slots(self, requested: int | None, runs: int) -> int:
        """Return how many runs the cluster has room for now, unless requested otherwise."""
        if not runs:
            return 1
        room = self._need.room(self._connection.nodes())
        return max(1, min(requested or room, runs))

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Stay connected."""
        try:
            yield
        finally:
            self._connection.close()

    def executor(self, context: WorkerContext, requested: int | None, runs: int) -> Executor:
        """Start an executor whose slots follow the cluster: those of now are only the first."""
        self._connection.open()  # a study whose known runs are finished may go on with others
        limits = Limits(max(1, min(requested or runs, runs)), requested is not None)
        return RayExecutor(self._connection, self._need, context, limits)

    def time_arms(self, stage: Timing) -> str:
        """Time arms in an actor, on a node that has room for a run."""
        import ray
        from ray.exceptions import RayError

        self._connection.open()
        actor = Actor.start(stage.context, self._need)
        try:
            placed, _ = ray.wait([actor.placed], timeout=_PLACE_SECONDS)
            if not placed:
                return f"no node had room for it within {_PLACE_SECONDS:g} s"
            return ray.get(actor.handle.time_arms.remote(stage))
        except RayError as error:
            return reason(error)
        finally:
            ray.kill(actor.handle)
