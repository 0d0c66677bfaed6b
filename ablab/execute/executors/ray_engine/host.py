"""The actor that trains runs on a node: it keeps one worker process, as the local engine does.

The actor's own process trains nothing and does not import torch. So a run that crashes, hangs or
changes its process costs that process alone, and an actor always responds.
"""

import socket
from concurrent.futures import Future
from dataclasses import replace

from ablab.execute.executors.base import Timing, outcome_of
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.executors.ray_engine.need import Need
from ablab.execute.memory import worker_share
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState


class Host:
    """Trains one run at a time. Ray calls its methods in several threads."""

    def __init__(self, context: WorkerContext, need: Need) -> None:
        self._home = context.home
        self._device = _device(need)
        context = replace(context, memory=self._memory_share(context, need))
        self._executor = LocalExecutor(1, context, [self._device])
        self._future: Future[AttemptOutcome] | None = None

    @staticmethod
    def _memory_share(context: WorkerContext, need: Need) -> int:
        import ray

        here = ray.get_runtime_context().get_node_id()
        node = next(node for node in ray.nodes() if node["NodeID"] == here)
        return worker_share(max(1, need.fits(node["Resources"])) * context.layout.processes)

    def node(self) -> tuple[str, str]:
        """Return the id of the node that the actor lives on, and the name of its machine."""
        import ray

        return ray.get_runtime_context().get_node_id(), socket.gethostname()

    def train(self, spec: RunSpec) -> AttemptOutcome:
        """Train a run, and return its outcome."""
        self._future = self._executor.submit(spec)
        outcome = outcome_of(self._future)
        if outcome.state == RunState.LOST:
            # It is seen from this node that its process is gone, but perhaps not from others.
            Record(self._home, spec.key).lease().clear()
        return outcome

    def time_arms(self, stage: Timing) -> str:
        """Time arms side by side. Return what went wrong; empty if nothing did."""
        return stage.on(self._device).run()

    def stop(self) -> None:
        """Ask the run to write a checkpoint and end."""
        self._executor.stop()

    def end(self) -> None:
        """End the worker process."""
        self._executor.kill()


def _device(need: Need) -> str:
    """Return the GPUs that Ray gave to this actor, in the notation of CUDA_VISIBLE_DEVICES."""
    import ray

    if not need.gpus:
        return ""
    return ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"])
