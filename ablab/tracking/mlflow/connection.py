"""A connection to an MLflow store, and what went wrong with it, in a line that says what to do.

MLflow is imported here and in the modules beside this one, when it is needed.
"""

import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.spec.addresses import fault, is_server, redacted, require_tracker

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Two lines for each run that ends, with the server's address as it was given: its password too.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Of a server: eight processes that wait for evaluations, which the lab asks for none of.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # What the lab logs is text and figures: nobody needs a store that runs what it finds in a
    # pickle.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # MLflow asks again what was not answered, though it may have been done: what makes a run would
    # make it twice. Its own defaults wait minutes for a server that is away, too; the records don't
    # need it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
# What MLflow's clients, or the drivers of databases, say, and what that means.
_FAULTS = {
    (
        "error code 401",
        "password authentication failed",
    ): "refuses this user or password: {credentials}",
    (
        "Invalid Host header",
    ): "does not answer to this host name: add it to the server's --allowed-hosts",
    (
        "error code 403",
        "PERMISSION_DENIED",
        "Permission denied",
    ): "does not permit this user to do that: its administrator can",
    ("Failed to establish", "timed out", "resolve", "connection failed", "Connection aborted"): (
        "does not answer: is it running, and is the address right?"
    ),
    ("database is locked",): "is locked by another process: wait for it, or end it",
    (
        "file is not a database",
    ): "is no database: move the file away, and `ablab sync` or `ablab run` writes a new one",
    (
        "unable to open database file",
    ): "cannot be opened: is it a file, is its folder there, and may you write in it?",
    ("readonly database",): "may not be written by you: its owner can permit it",
}


def available() -> bool:
    """Whether MLflow is installed. A folder named mlflow/ on the path is not: that is an empty
    namespace.
    """
    spec = importlib.util.find_spec("mlflow")
    return spec is not None and spec.origin is not None


def store_folder(uri: str, default: Path) -> Path:
    """Where a store's artifacts lie, unless a server keeps them: beside an SQLite file, else in
    `default`.
    """
    return Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:///") else default


def settings() -> dict[str, str]:
    """The environment that MLflow is used in: what is set already stays."""
    return {name: os.environ.get(name, value) for name, value in _SETTINGS.items()}


class NoStore(UserError):
    """There is nothing yet where something was to be read."""


def connect(uri: str, local: Path, *, make: bool = True) -> Any:
    """An MlflowClient of the store at `uri`; `local`: the folder of a local one. Raises UserError
    for an address that names no store and for a database of another MLflow; NoStore where there is
    none and it is not to `make` one; and what MLflow's clients raise where the store can't be
    opened.
    """
    require_tracker(uri)
    os.environ.update(settings())
    with warnings.catch_warnings():  # its own warnings, the last of them at the first query
        warnings.simplefilter("ignore")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(
                logging.CRITICAL
            )  # what fails is raised too, and told in a line
        if make and uri.startswith("sqlite"):
            local.mkdir(parents=True, exist_ok=True)
        if not is_server(uri):
            _probe(uri, make=make)
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def _probe(uri: str, *, make: bool) -> None:
    """Raises at once where the database does not answer, for which MLflow itself would wait a
    hundred seconds, or where another MLflow made it: this one would migrate its tables unasked, and
    those who still use that one could no longer open it.
    """
    from sqlalchemy import create_engine, inspect, make_url, text
    from sqlalchemy.pool import NullPool

    where, file = redacted(uri, uri), make_url(uri).database
    if (
        not make and uri.startswith("sqlite") and not os.path.exists(file or "")
    ):  # opening it would make it
        raise NoStore(f"there is no MLflow store in {where}")
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        known = inspect(connection).has_table("alembic_version")
        version = (
            connection.execute(text("select version_num from alembic_version")).scalar()
            if known
            else None
        )
    if version is None and not make:
        raise NoStore(f"there is no MLflow store in {where}")
    if version is not None:
        _require_schema(where, version)


def _require_schema(where: str, version: str) -> None:
    """Raises UserError where a database's schema is not this MLflow's."""
    from alembic.script import ScriptDirectory

    import mlflow

    schemas = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if version == schemas.get_current_head():
        return
    if version in {schema.revision for schema in schemas.walk_revisions()}:
        raise UserError(
            f"{where} was made by an older MLflow: back it up, then `mlflow db upgrade ADDRESS`"
        )
    raise UserError(
        f"{where} was made by a newer MLflow than {mlflow.__version__} (schema {version}): "
        "upgrade MLflow here"
    )


def explained(error: Exception, uri: str) -> str:
    """What went wrong with the store at `uri` and what to do, in a line without a password."""
    text, where = str(error), redacted(uri, uri)
    if isinstance(error, UserError):
        return text
    if isinstance(error, ModuleNotFoundError) and uri.startswith("postgresql"):
        return (
            f"{where} needs a driver: pip install 'ablab[postgres]', and write "
            "postgresql+psycopg://"
        )
    for signs, told in _FAULTS.items():
        if any(sign in text for sign in signs):
            return f"{where} {told.format(credentials=_credentials(uri))}"
    return fault(error, uri)


def _credentials(uri: str) -> str:
    if is_server(uri):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return "correct them in the address"
