"""The engine that carries out a study's runs. It does not affect the results."""

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from ablab.errors import unknown
from ablab.spec.base import MAX_TEXT, Config

Engine = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
_ADDRESS = re.compile(r"auto|(ray://)?[^\s:/@]+:(?P<port>\d{1,5})")
_MAX_PORT = 65_535
_MAX_CPUS = 1_024
_MAX_GPUS = 64


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


class ExecutionConfig(Config):
    """The engine that places, starts and restarts the processes which train."""

    engine: Annotated[Engine, BeforeValidator(_known)] = "local"
    """`local` uses processes of this machine, `ray` the nodes of a Ray cluster."""
    ray: RayOptions = RayOptions()
    """Options of engine `ray`."""

    @property
    def elsewhere(self) -> bool:
        """Whether runs may be trained on other machines than the driver's."""
        return self.engine != "local"
