"""What MLflow's stores will not have: names that are too long, what a user may not do, and what is
wrong in itself.
"""

from collections.abc import Callable

_NAME = 250


def short(name: str) -> str:
    """A run's name as its databases take it."""
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def refused(error: Exception) -> bool:
    """Whether a store that answers will not have this one thing, as it stands or at all."""
    from mlflow.exceptions import MlflowException

    # An answer that MLflow did not write is of something between: it says nothing of the thing.
    if not isinstance(error, MlflowException) or str(error).startswith("API request to"):
        return False
    return error.get_http_status_code() in (400, 404, 409)


def where_allowed(delete: Callable[[], object]) -> None:
    """Deletes, unless this user may only add."""
    from mlflow.exceptions import MlflowException

    try:
        delete()
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
