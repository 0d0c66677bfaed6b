"""`ablab ui`: the MLflow server on the local store."""

import os
import sys
from typing import Annotated

import typer

from ablab.cli.options import HomeDir, Plugins
from ablab.errors import UserError


def ui(
    home: HomeDir = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 5000,
    plugins: Plugins = None,
) -> None:
    """Open the MLflow server on the local store, at 127.0.0.1."""
    from ablab.study.home import make_home
    from ablab.tracking.mlflow_view import available

    place = make_home(home)
    if not available():
        raise UserError("MLflow is not installed (`pip install mlflow`)")
    if not (place.mlflow / "mlflow.db").is_file():
        raise UserError(f"there is no MLflow store in {place.mlflow} yet: `ablab run FILE` first")
    if not _free(port):
        raise UserError(f"port {port} on 127.0.0.1 is taken: choose another with --port")
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", place.tracking_uri(), "--host", "127.0.0.1",
        "--port", str(port), "--artifacts-destination", str((place.mlflow / "artifacts").resolve()),
    ]  # fmt: skip
    os.execve(sys.executable, arguments, {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})


def _free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
