"""The connection to a Ray cluster, which may be one that was started for the study."""

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ablab.errors import UserError, reason
from ablab.execute.executors.ray_engine.need import Need
from ablab.files import nearest_existing
from ablab.spec.execution import RayOptions
from ablab.text.truncate import in_a_line
from ablab.train.machine import cores
from ablab.version import __version__

_PROBE_SECONDS = 120.0
_CONNECT_SECONDS = 10.0
_STORE_BYTES = 100_000_000  # objects are run specifications and outcomes, a few kB each


class Connection:
    """A Ray cluster, while this process is connected to it."""

    def __init__(self, options: RayOptions) -> None:
        self._options = options
        if options.address is None:
            _require_token()
        self._ray = _import_ray()

    def open(self) -> None:
        """Connect, and start a cluster on this machine if no address is given.

        Raises:
            UserError: if nothing answers at the address.

        """
        if self._ray.is_initialized():
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "ablab"}
        if self._options.address is None:
            self._ray.init(
                address="local",
                num_cpus=cores(),
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                **quiet,
            )
            return
        try:
            _require_listener(self._options.address)
            self._ray.init(address=self._options.address, **quiet)
        except Exception as error:  # ConnectionError, RuntimeError and others, by the version
            raise UserError(
                f"execution.ray.address: {self._options.address}: no Ray cluster can be used "
                f"there: {reason(error)}"
            ) from None

    def close(self) -> None:
        """Disconnect; a cluster that `open` started ends."""
        self._ray.shutdown()

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes that are alive, as Ray describes them."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def need(self, processes: int, threads: int, *, gpus: bool) -> Need:
        """Return what a run takes. `gpus`: whether it uses GPUs if the cluster has any."""
        cpus = self._options.cpus or processes * threads
        share = self._options.gpus
        if share is None:
            has_gpus = any(node["Resources"].get("GPU", 0) for node in self.nodes())
            share = processes if gpus and has_gpus else 0
        return Need(cpus, share)

    def check(self, need: Need, folders: Sequence[Path]) -> None:
        """Ask every node that can train whether it has this version of ablab and sees `folders`.

        Raises:
            UserError: if one does not, or if no node has room for a run.

        """
        nodes = self.nodes()
        fitting = [node for node in nodes if need.fits(node["Resources"])]
        if not fitting:
            sizes = {str(Need(*_size(node))) for node in nodes}
            raise UserError(
                f"execution.ray: a run takes {need}, and no node has that: the nodes have "
                f"{in_a_line(sorted(sizes))}"
            )
        with tempfile.NamedTemporaryFile(
            dir=nearest_existing(folders[0]), prefix=".ablab-"
        ) as mark:
            paths = [mark.name, *map(str, folders[1:])]
            problems = self._probe(fitting, paths)
        if problems:
            raise UserError("execution.ray: " + "; ".join(problems))

    def _probe(self, nodes: Sequence[dict[str, Any]], paths: Sequence[str]) -> list[str]:
        """Return what is wrong with nodes, a line each."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Defined here so that Ray sends its code: another version of ablab might not have it.
        def probe(paths: Sequence[str]) -> tuple[str | None, list[str]]:
            import importlib
            import os

            try:
                version = importlib.import_module("ablab.version").__version__
            except ImportError:
                version = None
            return version, [path for path in paths if not os.path.exists(path)]

        task = self._ray.remote(probe)
        asked = {}
        for node in nodes:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = task.options(num_cpus=0, scheduling_strategy=place, max_retries=0)
            asked[options.remote(paths)] = node["NodeManagerHostname"]
        answered, silent = self._ray.wait(
            list(asked), num_returns=len(asked), timeout=_PROBE_SECONDS
        )
        problems = [f"{asked[ref]} does not answer" for ref in silent]
        for ref in answered:
            try:
                version, unseen = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                problems.append(f"{asked[ref]}: {reason(error)}")
                continue
            problems += _problems(asked[ref], version, unseen, paths[0])
        return problems


def _problems(host: str, version: str | None, unseen: Sequence[str], mark: str) -> list[str]:
    if version is None:
        return [f"{host} has no ablab: install {__version__} there"]
    if version != __version__:
        return [f"{host} has ablab {version}, this is {__version__}: install the same everywhere"]
    return [
        f"{host} does not see the home: all nodes must share {Path(path).parent}"
        if path == mark
        else f"{host} does not see {path}, which all nodes must share"
        for path in unseen
    ]


def _size(node: dict[str, Any]) -> tuple[float, float]:
    resources = node["Resources"]
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)


def _require_listener(address: str) -> None:
    """Raise OSError unless something listens at the address: Ray would try for minutes."""
    host, found, port = address.removeprefix("ray://").rpartition(":")
    if found:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def _import_ray() -> ModuleType:
    """Return the module; Ray sends no usage statistics from here.

    Raises UserError if it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "execution.engine: ray is not installed: pip install 'ablab[ray]'"
        ) from None
    return ray


def _require_token() -> None:
    """Have the servers of a cluster that is started here refuse strangers.

    Ray's servers listen on all addresses of the machine, whatever they are told. Ray reads these
    variables when it is imported.
    """
    if "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
