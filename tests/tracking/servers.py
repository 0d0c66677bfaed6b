"""MLflow servers of the tests' own, on loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.conftest import environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(arguments: Sequence[str], port: int, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of the server that a command starts, for as long as the block lasts."""
    log = (folder / "server.log").open("a")
    env = {**environment(), **(more or {})}
    process = subprocess.Popen(arguments, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while not answers(f"{address}/health"):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(20)
        log.close()


@contextmanager
def plain(folder: Path, port: int) -> Iterator[str]:
    """A server on an SQLite store in `folder`."""
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with started(arguments, port, folder, {"MLFLOW_DISABLE_TELEMETRY": "true"}) as address:
        yield address


def answers(address: str) -> bool:
    try:
        urlopen(address, timeout=5).close()
    except HTTPError:
        return True
    except (OSError, HTTPException):
        return False
    return True
