"""`ablab ui`: the MLflow server on the local store, opened on a study."""

import os
import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from ablab.cli.options import HomeDir, Profile
from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.records.home import Home

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
    from ablab.tracking.mlflow.view import available, settings

    place = make_home(home)
    if not available():
        raise UserError("MLflow is not installed (`pip install mlflow`)")
    name, uri = _asked(study, profile, place)
    if is_server(uri):
        page = _page(place, uri, without_user(uri).rstrip("/"), name)
        print(f"{name} on {page}", flush=True)
        _browse(page, browse)
        return
    page = _page(place, uri, f"http://127.0.0.1:{port}", name)
    if not _free(port):
        raise UserError(f"port {port} on 127.0.0.1 is taken: choose another with --port")
    print(f"MLflow on {page} (Ctrl-C ends it)", flush=True)
    _browse(page, browse)
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
        "--artifacts-destination",
        str((place.mlflow / "artifacts").resolve()),
    ]
    # By the environment, since every user of the machine may read a command line.
    os.execve(
        sys.executable, arguments, {**os.environ, **settings(), "MLFLOW_BACKEND_STORE_URI": uri}
    )


def _asked(study: str | None, profile: str | None, place: "Home") -> tuple[str | None, str]:
    """The study's name and its store's address."""
    if study is None:
        return None, place.tracking_uri()
    from ablab.cli.sync import tracked_at
    from ablab.records.lookup import records_of

    record = records_of(place, study, profile)[-1]
    record.read()  # which says so where a file's revision was never run
    return record.name, tracked_at(record, study, profile)


def _page(place: "Home", uri: str, server: str, study: str | None) -> str:
    """Where the runs stand: of the study, with its parent above them, or all. Raises UserError
    where the store can't be read.
    """
    from ablab.spec.addresses import redacted
    from ablab.tracking.mlflow.view import STUDY, MlflowView, NoStore, explained, tagged

    try:
        view = MlflowView(uri, place.mlflow, make=False)
        if study is not None and view.find_parent(study) is None:
            raise NoStore
    except NoStore as error:
        if study is None:
            raise UserError(f"{error} yet: {_START}") from error
        raise UserError(
            f"{study!r} is not in {redacted(uri, uri)} yet: `ablab sync {study}` writes it there"
        ) from error
    except Exception as error:  # MLflow's clients raise what their transports raise
        raise UserError(explained(error, uri)) from error
    runs = f"{server}/#/experiments/{view.experiment}/runs?workflowType=machine_learning"
    return runs if study is None else runs + "&searchFilter=" + quote(tagged(STUDY, study))


def _browse(page: str, wanted: bool | None) -> None:
    """Has a process of its own open the page when the server answers: this one becomes the
    server.
    """
    desktop = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if wanted or (wanted is None and desktop and sys.stdout.isatty()):
        import subprocess

        nothing = subprocess.DEVNULL
        subprocess.Popen(
            [sys.executable, "-m", "ablab.cli.browse", page],
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
        )


def _free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
