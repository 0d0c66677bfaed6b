"""What every process that trains runs of a study needs besides the runs."""

from dataclasses import dataclass, field
from pathlib import Path

from ablab.train.parallel import ParallelLayout


@dataclass(frozen=True)
class WorkerContext:
    """The settings that all runs of an `ablab run` share.

    `home` is the home's folder of records, `plugins` the folders of loose plugin files, and
    `layout` tells how the processes of one run share it. `compile` is whether the model's blocks
    are compiled by torch. `device` names the worker's GPUs as CUDA_VISIBLE_DEVICES does; with
    None, the worker uses those that its environment names. `memory` is the number of bytes that
    each worker may allocate; None for no limit. With `checks`, an arm
    that was not checked before is checked before its first run.

    The number of CPU threads is not among them: it determines a run's numbers, so it belongs to
    the run's specification (`RunSpec.threads`).
    """

    home: Path
    plugins: tuple[Path, ...] = ()
    layout: ParallelLayout = field(default_factory=ParallelLayout)
    compile: bool = False
    device: str | None = None
    memory: int | None = None
    checks: bool = False
