"""How long a study takes, in lines."""

from collections.abc import Sequence
from itertools import groupby

from ablab.schedule.durations import (
    Speed,
    Storage,
    device_seconds,
    wall_seconds,
)
from ablab.schedule.stages import Stage
from ablab.text.numbers import duration, short


def duration_lines(
    parts: Sequence[Sequence[Stage]], speed: Speed | None, storage: Storage, slots: Sequence[int]
) -> list[str]:
    """Return what is sequential about a study, how long it takes with some numbers of `slots`, and
    what it stores. `speed`: that of its finished runs, if any.
    """
    lines = [f"in sequence: {_sequence(stages)}" for stages in parts]
    lines += _times(parts, speed, slots)
    lines.append(
        f"storage: {short(storage.weights)}B of weights in all, up to "
        f"{short(storage.checkpoints)}B of checkpoints for each run under way"
    )
    return lines


def _times(
    parts: Sequence[Sequence[Stage]], speed: Speed | None, slots: Sequence[int]
) -> list[str]:
    if speed is None:
        return ["how long it takes is known once a run of it is finished"]
    seconds = device_seconds(parts, speed)
    if seconds is None:
        return ["how long it takes is up to the clock that ends its runs"]
    lines = [
        f"about {seconds / 3600:.3g} device-hours, at {short(speed.flops_per_second)} training "
        f"FLOPs a second in each run, as in {speed.runs} finished run(s)"
    ]
    is_open = any(not stage.certain for stages in parts for stage in stages)
    for number in slots:
        time = duration(wall_seconds(parts, speed, number))
        most = duration(wall_seconds(parts, speed, number, most=True))
        at_most = f", at most {most}" if is_open else ""
        lines.append(f"with {number} run(s) at a time: about {time}{at_most}")
    return lines


def _sequence(stages: Sequence[Stage]) -> str:
    """Return the stages in words; rounds of the same size are counted."""
    texts = []
    for (title, runs, certain), same in groupby(
        stages, lambda stage: (stage.title, stage.runs, stage.certain)
    ):
        number = len(list(same))
        rounds = f"{number} rounds of " if number > 1 else ""
        texts.append(f"{rounds}{'' if certain else 'up to '}{runs} {title}")
    return ", then ".join(texts)
