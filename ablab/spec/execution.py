"""The engine that carries out a study's runs. It does not affect the results."""

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ablab.errors import unknown
from ablab.spec.base import MAX_TEXT, Config

Engine = Literal["local", "ray", "slurm"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
_ADDRESS = re.compile(r"auto|(ray://)?[^\s:/@]+:(?P<port>\d{1,5})")
_MAX_PORT = 65_535
_WORD = r"^[\w.][\w.@-]*$"
_MAX_WORD = 100
_MAX_CPUS = 1_024
_MAX_GPUS = 64
_MAX_GIGABYTES = 65_536
_MAX_MINUTES = 60 * 24 * 60


def _known(value: object) -> object:
    """Accept the names of engines."""
    if value not in ENGINES:
        raise ValueError(str(unknown("engine", str(value), ENGINES)))
    return value


def _address(value: str) -> str:
    """Accept the addresses of a Ray cluster."""
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"] or 0) > _MAX_PORT:
        raise ValueError("expected `auto`, `HOST:PORT` or `ray://HOST:PORT`")
    return value


class RayOptions(Config):
    """A Ray cluster, and what each run takes of it."""

    address: Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_address)] | None = None
    """A running cluster: `auto` for the one that this machine belongs to, `HOST:PORT`, or
    `ray://HOST:PORT` from outside. If omitted, one is started on this machine for the study.
    """
    cpus: Annotated[float, Field(gt=0, le=_MAX_CPUS)] | None = None
    """CPU cores of each run; by default, one for each thread of its processes."""
    gpus: Annotated[float, Field(ge=0, le=_MAX_GPUS)] | None = None
    """GPUs of each run, or a fraction of one that several runs share; by default, one for each of
    its processes if the cluster has GPUs and `hardware.accelerator` allows them.
    """


class SlurmOptions(Config):
    """The jobs that train the runs on a SLURM cluster."""

    partition: Annotated[str, Field(pattern=_WORD, max_length=_MAX_WORD)] | None = None
    """Partition of the jobs; by default the cluster's."""
    account: Annotated[str, Field(pattern=_WORD, max_length=_MAX_WORD)] | None = None
    """Account that the jobs are charged to."""
    gpus_per_run: Annotated[int, Field(ge=0, le=_MAX_GPUS)] | None = None
    """GPUs of each run on a node; by default one for each of its processes there if
    `hardware.accelerator` is `cuda`, else none.
    """
    memory_gb: Annotated[int, Field(ge=1, le=_MAX_GIGABYTES)] | None = None
    """Memory of each job on a node, in GB; by default the cluster's."""
    time: Annotated[int, Field(ge=1, le=_MAX_MINUTES)] = 240
    """Time limit of a job, in minutes. A run that has not ended by then writes a checkpoint, the
    job is queued again, and the run goes on in it.
    """
    array_parallelism: Annotated[int, Field(ge=1, le=1_000)] = 32
    """The most jobs of the study at a time, waiting or running."""
    runs_per_job: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The least number of runs for which another job is submitted. By default as many as take ten
    minutes, once a run has shown how long they take, and 1 before.
    """
    setup: Annotated[str, Field(pattern=_WORD, max_length=_MAX_WORD)] | None = None
    """Name of a file with shell commands for the start of each job, as `module load cuda`:
    `$XDG_CONFIG_HOME/ablab/setup/NAME.sh`, by default below `~/.config`. A study file cannot
    contain commands itself, since studies are passed on.
    """
    signal_seconds: Annotated[int, Field(ge=10, le=3_600)] = 90
    """How long before its time limit a job writes its checkpoint, in seconds; half of the limit at
    most.
    """
    requeues: Annotated[int, Field(ge=0, le=1_000)] = 100
    """How often a job whose time is over is queued again."""

    @model_validator(mode="after")
    def _signal_in_time(self) -> "SlurmOptions":
        """Leave jobs the time to train before they write checkpoints."""
        if self.signal_seconds > 30 * self.time:
            raise ValueError(
                f"signal_seconds: {self.signal_seconds} s is more than half of the time limit, "
                f"{self.time} min: at most {30 * self.time}"
            )
        return self


class ExecutionConfig(Config):
    """The engine that places, starts and restarts the processes which train."""

    engine: Annotated[Engine, BeforeValidator(_known)] = "local"
    """`local` uses processes of this machine, `ray` the nodes of a Ray cluster, `slurm` jobs of a
    SLURM cluster.
    """
    ray: RayOptions = RayOptions()
    """Options of engine `ray`."""
    slurm: SlurmOptions = SlurmOptions()
    """Options of engine `slurm`."""

    @property
    def elsewhere(self) -> bool:
        """Whether runs may be trained on other machines than the driver's."""
        return self.engine != "local"
