"""Times the arms of a study in rounds, in a process of its own."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ablab.arch.composition.registry import Registry
from ablab.plan.run_key import rebuild
from ablab.plan.timing_digest import batch_size
from ablab.records.run_spec import RunSpec
from ablab.records.timings import TimingLog, TimingRound
from ablab.train.costs.arm_timer import ArmTimer
from ablab.train.costs.other_load import OtherLoad
from ablab.train.machine import cores, machine_here
from ablab.train.result import ArmTime

_POLL_SECONDS = 0.5
_RECOMPILE_LIMIT = 100_000


@dataclass(frozen=True)
class TimingRequest:
    """What is timed, and how long it may take."""

    specs: Mapping[str, RunSpec]
    """A run of each arm, by its `timing_digest`."""
    runs: Mapping[str, str]
    """The digests by the key of the first run of each arm."""
    log: Path
    """File that the rounds are added to."""
    tokens: Path
    """Folder of token stores."""
    rounds: int
    """Number of quiet rounds that are wanted."""
    turn_seconds: float
    """Approximate time of an arm's turn."""
    patience_seconds: float
    """Time to wait, in all, for other processes to end."""
    compile: bool = False
    """Whether blocks are compiled, as in the runs."""


class Timer(Protocol):
    """Times one arm; see `ablab.train.costs.arm_timer.ArmTimer`."""

    def take_turn(self, seconds: float, /) -> ArmTime:
        """Time the arm for about `seconds`."""
        ...


class Load(Protocol):
    """Measures other load; see `ablab.train.costs.other_load.OtherLoad`."""

    def sample(self) -> float:
        """Return how many cores other processes kept busy since the last sample."""
        ...


def time_arms(request: TimingRequest, registry: Registry, stop: Callable[[], bool]) -> None:
    """Time the arms until `request.rounds` quiet rounds are recorded, or twice as many in all."""
    import torch

    if request.compile:  # by default torch stops compiling a function for the ninth model
        torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
        torch._dynamo.config.accumulated_recompile_limit = _RECOMPILE_LIMIT
    timers = {name: _timer(spec, request, registry) for name, spec in request.specs.items()}
    for timer in timers.values():
        timer.take_turn(0.0)  # compiles, and shows that every arm can be timed
    conditions = f"{machine_here()}, torch {torch.__version__}"
    run_rounds(request, timers, OtherLoad(), conditions, stop)


def run_rounds(
    request: TimingRequest,
    timers: Mapping[str, Timer],
    load: Load,
    conditions: str,
    stop: Callable[[], bool],
) -> None:
    """Record rounds of turns, in an order that is drawn anew for each round.

    A round during which other processes were busy is recorded as well, and repeated, up to twice
    the number of rounds in all. Between rounds, `request.patience_seconds` are spent in all on
    waiting for other processes to end. Rounds that were recorded earlier count.
    """
    log = TimingLog(request.log)
    earlier = log.rounds(runs=request.runs, digests=timers, conditions=conditions)
    quiet = sum(timing_round.quiet for timing_round in earlier)
    patience = request.patience_seconds
    for number in range(len(earlier), len(earlier) + 2 * request.rounds):
        if quiet >= request.rounds:
            break
        patience -= _wait_for_quiet(load, patience, stop)
        order = sorted(timers)
        random.Random(f"{conditions}/{number}").shuffle(order)
        times: dict[str, ArmTime] = {}
        for name in order:
            if stop():
                return
            times[name] = timers[name].take_turn(request.turn_seconds)
        timing_round = TimingRound(conditions, cores(), load.sample(), request.runs, times)
        log.append(timing_round)
        quiet += timing_round.quiet


def is_quiet() -> bool:
    """Return whether other processes leave the machine alone at this moment."""
    load = OtherLoad()
    time.sleep(_POLL_SECONDS)
    return _quiet(load.sample())


def _quiet(other_load: float) -> bool:
    return TimingRound("", cores(), other_load, {}, {}).quiet


def _wait_for_quiet(load: Load, patience: float, stop: Callable[[], bool]) -> float:
    """Wait until other processes are quiet, at most `patience` seconds. Return the time it took."""
    begin = time.monotonic()
    while not stop() and time.monotonic() - begin < patience:
        if _quiet(load.sample()):
            break
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - begin


def _timer(spec: RunSpec, request: TimingRequest, registry: Registry) -> ArmTimer:
    from ablab.data.store import open_store

    return ArmTimer(
        rebuild(spec, registry),
        open_store(request.tokens / spec.data),
        batch_size(spec),
        seed=spec.seed,
        compile=request.compile,
    )
