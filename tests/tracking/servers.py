"""MLflow servers of the tests' own, on loopback."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.conftest import environment


@contextmanager
def started(
    arguments: Sequence[str], port: int, folder: Path, more: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of the server that a command starts, for as long as the block lasts."""
    log = (folder / "server.log").open("a")
    env = {**environment(), **(more or {})}
    process = subprocess.Popen(
        arguments, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
    )
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
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with started(arguments, port, folder, {"MLFLOW_DISABLE_TELEMETRY": "true"}) as address:
        yield address


@contextmanager
def losing(port: int, lost: Sequence[str]) -> Iterator[str]:
    """A way to the server at `port` that loses answers, one after the other: each the next to a
    POST whose path ends so.
    """
    left = list(lost)

    class Way(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server = HTTPConnection("127.0.0.1", port, timeout=60)
            server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
            content = answer.read()
            server.close()
            if left and self.command == "POST" and self.path.endswith(left[0]):
                left.pop(0)
                return
            self.send_response_only(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", ""))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Way) as way:
        Thread(target=way.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{way.server_port}"
        way.shutdown()
    assert not left, left


def answers(address: str) -> bool:
    try:
        urlopen(address, timeout=5).close()
    except HTTPError:
        return True
    except (OSError, HTTPException):
        return False
    return True
