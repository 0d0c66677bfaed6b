"""Examines MLflow's local store, and the server that the environment names."""

import os
from collections.abc import Iterator

from ablab.doctor.finding import Finding, ok, problem, warning
from ablab.records.home import Home
from ablab.spec.addresses import is_database, is_server, redacted
from ablab.tracking.mlflow.connection import available
from ablab.tracking.mlflow.errors import NoStore
from ablab.tracking.mlflow.probe import probe

_VARIABLE = "MLFLOW_TRACKING_URI"
_SECONDS = 5.0


def examine_trackers(home: Home) -> Iterator[Finding]:
    """Yield findings on the stores. That MLflow is not installed is a finding on versions."""
    if not available():
        return
    yield _store(home)
    address = os.environ.get(_VARIABLE)
    if address:
        yield _server(address)


def _store(home: Home) -> Finding:
    subject = "mlflow store"
    uri = home.tracking_uri()
    none = ok(subject, "none yet: `ablab run` makes it")
    if not any(home.mlflow.glob("*.db")):
        return none
    try:
        fault = probe(uri, _SECONDS)
    except NoStore:
        return none
    return problem(subject, fault) if fault else ok(subject, f"{uri} can be read")


def _server(address: str) -> Finding:
    subject = "mlflow server"
    name = f"{redacted(address, address)} ({_VARIABLE})"
    if not (is_server(address) or is_database(address)):
        return warning(subject, f"{name} is neither a server nor a database: it is not used")
    try:
        fault = probe(address, _SECONDS)
    except NoStore as error:
        fault = str(error)
    if fault:
        return problem(subject, f"{fault} ({_VARIABLE})")
    return ok(subject, f"{name} answers; studies with `tracking: {{uri: …}}` use it")
