"""`ablab ui`: the MLflow server on the local store, opened on a study."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.options import HomeDir, Profile
from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.records.home import Home
    from ablab.records.study_record import StudyRecord

Opened = Annotated[
    str | None,
    typer.Argument(metavar="[STUDY]", help="Name or file of the study to open."),
]
Browse = Annotated[
    bool | None,
    typer.Option(
        "--open/--no-browser", help="Open a browser. Default: if there is a desktop and a terminal."
    ),
]
_START = "`ablab run FILE` first"


def ui(
    study: Opened = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    browse: Browse = None,
    profile: Profile = None,
    home: HomeDir = None,
) -> None:
    """Serve the local MLflow store on 127.0.0.1, or open a study's page on its own server."""
    from ablab.records.home import make_home
    from ablab.spec.addresses import is_server, without_user
    from ablab.tracking.mlflow.connection import available, settings

    home_folder = make_home(home)
    if not available():
        raise UserError("MLflow is not installed (`pip install mlflow`)")
    record, uri = _store_of(study, profile, home_folder)
    name = record.name if record else None
    if is_server(uri):
        page = _page(home_folder, uri, without_user(uri).rstrip("/"), record)
        print(f"{name} on {page}", flush=True)
        _browse(page, browse)
        return
    page = _page(home_folder, uri, f"http://127.0.0.1:{port}", record)
    if not _is_free(port):
        raise UserError(f"port {port} on 127.0.0.1 is in use: choose another with --port")
    print(f"MLflow on {page} (Ctrl-C ends it)", flush=True)
    _browse(page, browse)
    # The address may hold a password, and other users can read a command line, but not the
    # environment of a process.
    environment = {**os.environ, **settings(), "MLFLOW_BACKEND_STORE_URI": uri}
    os.execve(sys.executable, _server_command(home_folder, port), environment)


def _server_command(home: "Home", port: int) -> list[str]:
    return [
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
        "--artifacts-destination",
        str((home.mlflow / "artifacts").resolve()),
    ]


def _store_of(
    study: str | None, profile: str | None, home: "Home"
) -> "tuple[StudyRecord | None, str]":
    """Return the study's record and the address of its store."""
    if study is None:
        return None, home.tracking_uri()
    from ablab.cli.sync import tracked_at
    from ablab.records.lookup import records_of

    record = records_of(home, study, profile)[-1]
    record.read()  # raises UserError if this revision has never been run
    return record, tracked_at(record, study, profile)


def _page(home: "Home", uri: str, server: str, record: "StudyRecord | None") -> str:
    """Return the address of the page with all runs, or with those of a study.

    Raises UserError if the store cannot be read, or the study is not in it.
    """
    from ablab.cli.sync import warn
    from ablab.spec.addresses import redacted
    from ablab.tracking.mlflow.errors import NoStore, explained
    from ablab.tracking.mlflow.parents import find_parent
    from ablab.tracking.mlflow.store import open_store
    from ablab.tracking.mlflow.study_page import study_page

    query = "workflowType=machine_learning"
    try:
        store = open_store(uri, home.mlflow, make=False)
        if record is not None:
            parent = find_parent(store, record.name)
            if parent is None:
                raise NoStore
            query += "&" + study_page(store, uri, parent, record.read().study, warn)
    except NoStore as error:
        if record is None:
            raise UserError(f"{error} yet: {_START}") from error
        raise UserError(
            f"{record.name!r} is not in {redacted(uri, uri)} yet: `ablab sync {record.name}` "
            "writes it there"
        ) from error
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error
    return f"{server}/#/experiments/{store.experiment}/runs?{query}"


def _browse(page: str, browse: bool | None) -> None:
    """Start a process that opens the page once the server answers.

    It is another process, since this one is replaced by the server.
    """
    desktop = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if browse or (browse is None and desktop and sys.stdout.isatty()):
        import subprocess

        subprocess.Popen(
            [sys.executable, "-m", "ablab.cli.browser", page],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
