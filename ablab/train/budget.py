"""The time limit of a run whose budget is in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TimeLimit:
    """A budget of `seconds` of training steps on `machine`, in batches of `batch` sequences
    (smaller on a ramp) divided as in `layout`.

    Only training steps count: compilation, validation, checkpointing and progress reports do not.
    The number of steps depends on the machine's load, so a run is not bitwise reproducible. Runs in
    parallel slow each other down; `--workers 1` avoids that.
    """

    seconds: float
    batch: int
    machine: str
    layout: str
