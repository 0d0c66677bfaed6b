"""How long a study takes and what it stores, from the runs of it that are finished already."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ablab.plan.plan import StudyPlan
from ablab.records.home import Home
from ablab.records.run_record import Record
from ablab.records.study_record import revisions
from ablab.schedule.stages import Stage

_MAX_RUNS = 200  # more would hardly improve an estimate
_WEIGHT_BYTES = 4  # float32
_CHECKPOINT_BYTES = 12  # a weight and AdamW's two moments
_CHECKPOINTS = 2  # that a run keeps while it trains


@dataclass(frozen=True)
class Speed:
    """How fast the finished runs of a study were."""

    flops_per_second: float
    """Training FLOPs per second of one run, with validation and the measuring of costs."""
    runs: int
    """Number of runs that it was measured on."""


@dataclass(frozen=True)
class Storage:
    """Bytes that a study takes."""

    weights: int
    """Those of the weights of all runs and trials; where they are not planned yet, of as many of
    the mean size.
    """
    checkpoints: int
    """Those of the checkpoints of each run while it trains, at most."""


def speed_on_record(home: Home, name: str) -> Speed | None:
    """Return the speed of the study's finished runs, of any revision; None if there are none."""
    keys = {key: None for record in reversed(revisions(home, name)) for key in record.keys}
    costs = []
    for key in keys:
        result = Record(home.root, key).result
        if result is not None and not result.diverged:
            costs.append(result.cost)
        if len(costs) == _MAX_RUNS:
            break
    seconds = sum(cost.busy_seconds for cost in costs)
    return Speed(sum(cost.flops for cost in costs) / seconds, len(costs)) if seconds else None


def device_seconds(parts: Sequence[Sequence[Stage]], speed: Speed) -> float | None:
    """Return the time of all runs that are certain, one after another; None where the clock
    decides.
    """
    seconds = [
        None if stage.flops is None else stage.runs * stage.flops / speed.flops_per_second
        for stages in parts
        for stage in stages
        if stage.certain
    ]
    known = [value for value in seconds if value is not None]
    return sum(known) if len(known) == len(seconds) else None


def wall_seconds(
    parts: Sequence[Sequence[Stage]], speed: Speed, slots: int, *, most: bool = False
) -> float:
    """Return about how long the study takes with so many slots; with `most`, if all runs that are
    not certain are trained, too.

    The runs of a stage are trained in turns of `slots` runs; parts fill each other's gaps.
    """
    work = 0.0
    longest = 0.0
    for stages in parts:
        chain = 0.0
        for stage in stages:
            if stage.flops is not None and (most or stage.certain):
                seconds = stage.flops / speed.flops_per_second
                work += stage.runs * seconds
                chain += math.ceil(stage.runs / slots) * seconds
        longest = max(longest, chain)
    return max(work / slots, longest)


def duration_figures(
    parts: Sequence[Sequence[Stage]], speed: Speed | None, storage: Storage, slots: Sequence[int]
) -> dict[str, Any]:
    """Return what is sequential about a study, how long it takes in seconds with some numbers of
    `slots`, and what it stores in bytes, in plain JSON types. What is not known is None.
    """
    walls = {
        str(number): {
            "seconds": wall_seconds(parts, speed, number),
            "most_seconds": wall_seconds(parts, speed, number, most=True),
        }
        for number in slots
        if speed is not None
    }
    return {
        "stages": [[asdict(stage) for stage in stages] for stages in parts],
        "device_seconds": device_seconds(parts, speed) if speed is not None else None,
        "wall": walls,
        "storage": asdict(storage),
    }


def storage_of(plan: StudyPlan) -> Storage:
    """Return what the runs of a plan store besides tokens and curves."""
    sizes = [arm.parameters for arm in plan.arm_of.values()]
    if not sizes:
        return Storage(0, 0)
    runs = plan.expected.runs + plan.expected.trials
    weights = round(_WEIGHT_BYTES * runs * sum(sizes) / len(sizes))
    return Storage(weights, _CHECKPOINTS * _CHECKPOINT_BYTES * max(sizes))
