"""Hands runs to actors, each of which trains one run after another on a node."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from ablab.execute.executors.ray_engine.connection import Connection
from ablab.execute.executors.ray_engine.host import Host
from ablab.execute.executors.ray_engine.need import Need
from ablab.execute.worker_context import WorkerContext
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState

_LOOK_SECONDS = 1.0
_END_SECONDS = 10.0  # a worker process that does not respond is killed after three
_THREADS = 4  # to train, to stop, to end, and one to spare


@dataclass(eq=False)
class Actor:
    """An actor of the class `Host`, and what is known of it."""

    handle: Any
    placed: Any
    """Reference to the node that it is placed on, which Ray answers once it is."""
    node: str = ""
    """Id of the node."""
    host: str = ""
    """Name of the node's machine."""
    gone: bool = False

    @classmethod
    def start(cls, context: WorkerContext, need: Need, host: type = Host) -> "Actor":
        """Have Ray place an actor on a node with room for a run, as soon as there is one."""
        import ray

        options = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_concurrency": _THREADS}
        remote: Any = ray.remote(host)
        handle = remote.options(**options, max_restarts=0).remote(context, need)
        return cls(handle, handle.node.remote())


@dataclass(frozen=True)
class Limits:
    """How many actors an executor has."""

    most: int
    """The most at once."""
    asks_for_more: bool
    """Whether it asks for as many at once, so that an autoscaler makes room for them."""


class RayExecutor:
    """Keeps as many actors as the cluster has room for, within `limits`. Its slots are the actors
    that Ray has placed, so they follow the cluster as it grows and shrinks.
    """

    host: type[Host] = Host
    """The class of the actors."""

    def __init__(
        self, connection: Connection, need: Need, context: WorkerContext, limits: Limits
    ) -> None:
        import ray

        self._ray = ray
        self._connection = connection
        self._need = need
        self._context = context
        self._limits = limits
        self._look_time = float("-inf")
        self._starting: list[Actor] = []
        self._idle: list[Actor] = []
        self._busy: dict[Future[AttemptOutcome], Actor] = {}
        self._failures: list[str] = []  # why actors did not start; each fails one submission

    @property
    def slots(self) -> int:
        """The number of actors that are placed on nodes."""
        if time.monotonic() - self._look_time >= _LOOK_SECONDS:
            self._look_time = time.monotonic()
            self._look()
        return len(self._idle) + len(self._busy) + len(self._failures)

    def _look(self) -> None:
        """Follow the cluster: forget actors of nodes that are gone, and start others."""
        nodes = self._connection.nodes()
        alive = {node["NodeID"] for node in nodes}
        self._collect_ended()
        self._idle = [actor for actor in self._idle if actor.node in alive]
        self._collect_placed()
        actors = len(self._starting) + len(self._idle) + len(self._busy)
        room = self._limits.most
        if not self._limits.asks_for_more:
            room = min(room, self._need.room(nodes))
        self._starting += [
            Actor.start(self._context, self._need, self.host) for _ in range(room - actors)
        ]

    def _collect_placed(self) -> None:
        from ray.exceptions import RayError

        actors = {actor.placed: actor for actor in self._starting}
        if not actors:
            return
        answered, _ = self._ray.wait(list(actors), num_returns=len(actors), timeout=0)
        for reference in answered:
            actor = actors[reference]
            self._starting.remove(actor)
            try:
                actor.node, actor.host = self._ray.get(actor.placed)
            except RayError as error:
                self._failures.append(f"an actor did not start: {_last_line(error)}")
            else:
                self._idle.append(actor)

    def _collect_ended(self) -> None:
        for future in [future for future in self._busy if future.done()]:
            actor = self._busy.pop(future)
            if actor.gone:
                self._ray.kill(
                    actor.handle
                )  # if only the connection failed, it still has its cores
            else:
                self._idle.append(actor)

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Start a run in an idle actor."""
        future: Future[AttemptOutcome] = Future()
        self._collect_ended()
        if self._failures or not self._idle:
            reason = self._failures.pop() if self._failures else "the actor's node is gone"
            future.set_result(AttemptOutcome(RunState.UNSTARTED, reason))
            return future
        actor = self._idle.pop()
        self._busy[future] = actor
        answer = actor.handle.train.remote(spec).future()
        answer.add_done_callback(partial(self._pass_on, future, actor, spec))
        return future

    def _pass_on(
        self, future: "Future[AttemptOutcome]", actor: Actor, spec: RunSpec, answer: Any
    ) -> None:
        """Pass on what became of a run. Ray calls it in a thread of its own."""
        error = answer.exception()
        if error is None:
            future.set_result(answer.result())
            return
        actor.gone = True
        # The run has begun if somebody has taken its lease, and had no time to release it.
        owner = Record(self._context.home, spec.key).lease().owner
        state = RunState.LOST if owner else RunState.UNSTARTED
        reason = f"the actor on {actor.host} died"
        future.set_result(AttemptOutcome(state, reason, pid=owner.get("pid")))

    def waits(self, future: "Future[AttemptOutcome]") -> bool:
        """Return False: a run that is submitted begins at once."""
        return False

    def cancel(self, future: "Future[AttemptOutcome]") -> None:
        """End the actor of a run with its worker process."""
        if future in self._busy:  # else the actor has gone on to another run
            self._end([self._busy.pop(future)])

    def stop(self) -> None:
        """Ask every run to write a checkpoint and end."""
        for actor in self._busy.values():
            actor.handle.stop.remote()

    def kill(self) -> None:
        """End all actors now."""
        self._end([*self._busy.values(), *self._idle, *self._starting])
        self._busy.clear()
        self._idle.clear()
        self._starting.clear()

    def close(self) -> None:
        """End the idle actors."""
        self.kill()

    def _end(self, actors: Sequence[Actor]) -> None:
        """End the worker processes of actors, then the actors."""
        placed = [actor for actor in actors if actor.node and not actor.gone]
        ends = [actor.handle.end.remote() for actor in placed]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=_END_SECONDS)
        for actor in actors:
            self._ray.kill(actor.handle)


def _last_line(error: BaseException) -> str:
    """Return the line of Ray's message that tells most: the last one of a traceback, else the
    first one.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if any("Traceback" in line for line in lines) else lines[0]
