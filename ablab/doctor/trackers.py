"""Examines MLflow's local store, and the server that the environment names."""

import os
from collections.abc import Iterator

from ablab.doctor.finding import Finding, ok, problem, warning
from ablab.records.home import Home
from ablab.spec.addresses import is_server, redacted, without_user
from ablab.tracking.http import answers
from ablab.tracking.mlflow.connection import available, connect
from ablab.tracking.mlflow.errors import NoStore, explained

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
    none = ok(subject, "none yet: `ablab run` makes it")
    if not any(home.mlflow.glob("*.db")):  # MLflow need not be imported
        return none
    uri = home.tracking_uri()
    try:
        connect(uri, make=False)
    except NoStore:
        return none
    except Exception as error:  # MLflow's clients raise what their transports raise
        return problem(subject, explained(error, uri))
    return ok(subject, f"{uri} can be read")


def _server(address: str) -> Finding:
    subject = "mlflow server"
    name = f"{redacted(address, address)} ({_VARIABLE})"
    if not is_server(address):
        return warning(subject, f"{name} is not the address of a server: not examined")
    if not answers(without_user(address), _SECONDS):
        return problem(
            subject,
            f"{name} does not answer within {_SECONDS:g} s: is it running, and is the address "
            "right?",
        )
    try:
        connect(address, make=False)
    except Exception as error:  # MLflow's clients raise what their transports raise
        return problem(subject, f"{explained(error, address)} ({_VARIABLE})")
    return ok(subject, f"{name} answers; studies with `tracking: {{uri: …}}` use it")
