"""Errors of MLflow stores: which ones concern a single request, and what they mean to a user."""

from collections.abc import Callable

from ablab.errors import UserError
from ablab.spec.addresses import fault, is_server, redacted

# Parts of the messages of MLflow's clients and of database drivers, with their explanations.
_EXPLANATIONS = {
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
    ("malformed",): (
        "is damaged: `ablab fsck --repair` sets it aside, and `ablab sync` writes a new one"
    ),
    ("database or disk is full",): "is on a disk that is full: make room",
    ("readonly database",): "may not be written by you: its owner can permit it",
}


class NoStore(UserError):
    """The store, or what was to be read from it, does not exist yet."""


def is_refusal(error: Exception) -> bool:
    """Return whether the store answered and rejects this request, now or for good."""
    from mlflow.exceptions import MlflowException

    # An answer that MLflow did not write comes from a proxy and says nothing about the request.
    if not isinstance(error, MlflowException) or str(error).startswith("API request to"):
        return False
    return error.get_http_status_code() in (400, 404, 409)


def delete_if_permitted(delete: Callable[[], object]) -> None:
    """Call `delete`; do nothing if this user may only add."""
    from mlflow.exceptions import MlflowException

    try:
        delete()
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise


def explained(error: Exception, uri: str) -> str:
    """Describe an error of the store at `uri` and its remedy in one line without a password."""
    text = str(error)
    address = redacted(uri, uri)
    if isinstance(error, UserError):
        return text
    if isinstance(error, ModuleNotFoundError) and uri.startswith("postgresql"):
        return (
            f"{address} needs a driver: pip install 'ablab[postgres]', and write "
            "postgresql+psycopg://"
        )
    for signs, explanation in _EXPLANATIONS.items():
        if any(sign in text for sign in signs):
            return f"{address} {explanation.format(credentials=_credentials(uri))}"
    return fault(error, uri)


def _credentials(uri: str) -> str:
    if is_server(uri):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return "correct them in the address"
