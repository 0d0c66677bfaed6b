"""Connect to an MLflow store.

MLflow is imported here and in the other modules of this package, when it is needed.
"""

import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.requirements import package_problem
from ablab.spec.addresses import is_server, redacted, require_tracker
from ablab.tracking.mlflow.errors import NoStore
from ablab.tracking.mlflow.sqlite_file import is_half_made, make_store

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow would print two lines for each run that ends, with the server's address as the user
    # gave it, including a password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server would start eight processes for evaluations, which the lab does not use.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # The lab logs text and figures only, so the store never needs to load a pickle.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # MLflow repeats a request that got no answer, although the server may have carried it out: a
    # run would be created twice. Its defaults also wait minutes for a server that is away, which
    # is not needed here because the records keep the data.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def available() -> bool:
    """Return whether MLflow is installed.

    A folder named `mlflow/` on the path is an empty namespace package and does not count.
    """
    spec = importlib.util.find_spec("mlflow")
    return spec is not None and spec.origin is not None


def store_folder(uri: str, default: Path) -> Path:
    """Return the folder of a store's artifacts, unless a server keeps them.

    It is the folder of an SQLite file, or `default`.
    """
    return Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:///") else default


def settings() -> dict[str, str]:
    """Return the environment variables for MLflow; those that are set already stay unchanged."""
    return {name: os.environ.get(name, value) for name, value in _SETTINGS.items()}


def connect(uri: str, *, make: bool = True) -> Any:
    """Return an MlflowClient for the store at `uri`.

    An SQLite store is created if it is missing and `make` is set. Raises
    UserError if the address names no store, if the version of MLflow is not supported or the
    database belongs to another one,
    NoStore if there is no store and `make` is not set, and the exceptions of MLflow's clients if
    the store cannot be opened.
    """
    require_tracker(uri)
    fault = package_problem("mlflow")
    if fault:
        raise UserError(fault)
    os.environ.update(settings())
    with warnings.catch_warnings():  # MLflow's own warnings, the last of them at the first query
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient  # sets the levels of its loggers

        for name in ("mlflow", "alembic"):
            # What fails is raised too, and reported in one line.
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if not is_server(uri):
            _check_database(uri, make=make)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def _check_database(uri: str, *, make: bool) -> None:
    """Raise at once if the database does not answer or another version of MLflow created it.

    MLflow itself would wait a hundred seconds for a database that is away. It would also migrate
    the tables of an older version without asking, after which that version could not open them.
    """
    from sqlalchemy import create_engine, inspect, make_url, text
    from sqlalchemy.pool import NullPool

    address = redacted(uri, uri)
    if uri.startswith("sqlite"):
        file = Path(make_url(uri).database or "")
        if make:
            make_store(file)
        elif not file.exists() or is_half_made(file):
            raise NoStore(f"there is no MLflow store in {address}")
    version = None
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if inspect(connection).has_table("alembic_version"):
            version = connection.execute(text("select version_num from alembic_version")).scalar()
    if version is None and not make:
        raise NoStore(f"there is no MLflow store in {address}")
    if version is not None:
        _require_schema(address, version)


def _require_schema(address: str, version: str) -> None:
    """Raise UserError if a database's schema is not that of the MLflow installed here."""
    from alembic.script import ScriptDirectory

    import mlflow

    schemas = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if version == schemas.get_current_head():
        return
    if version in {schema.revision for schema in schemas.walk_revisions()}:
        raise UserError(
            f"{address} was made by an older MLflow: back it up, then `mlflow db upgrade ADDRESS`"
        )
    raise UserError(
        f"{address} was made by a newer MLflow than {mlflow.__version__} (schema {version}): "
        "upgrade MLflow here"
    )
