"""A PostgreSQL server of the test's own, on loopback, in a folder of its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import free_port


def binaries() -> Path | None:
    """Where initdb and postgres lie; None where there is no server to start."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


def _user() -> dict[str, int]:
    """The server refuses to run as root."""
    if os.getuid() != 0:
        return {}
    import pwd

    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid}


@contextmanager
def server(folder: Path, password: str) -> Iterator[str]:
    """The address of an empty database, as SQLAlchemy writes it."""
    where, own = binaries(), _user()
    assert where is not None
    data, secret = folder / "data", folder / "password"
    secret.write_text(password)
    if own:
        os.chown(folder, own["user"], own["group"])
        os.chown(secret, own["user"], own["group"])
    command = [
        where / "initdb",
        "-D",
        data,
        "-U",
        "ablab",
        "--auth=scram-sha-256",
        f"--pwfile={secret}",
        "--no-sync",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **own)
    port = free_port()
    log = (folder / "log").open("w")
    options = [
        "-D",
        data,
        "-p",
        str(port),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={folder}",
    ]
    process = subprocess.Popen(
        [where / "postgres", *options], stdout=log, stderr=log, cwd=folder, **own
    )
    try:
        _wait(port, process)
        yield f"postgresql+psycopg://ablab:{password}@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the server does not answer")
