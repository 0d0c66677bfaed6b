"""The model of where a study is tracked."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from ablab.errors import UserError
from ablab.spec.addresses import require_database, require_tracker
from ablab.spec.base import MAX_TEXT, Config


def _valid(require: Callable[[str], None]) -> Callable[[str], str]:
    """Turn a check that raises UserError into a pydantic validator."""

    def validate(value: str) -> str:
        try:
            require(value)
        except UserError as error:
            raise ValueError(str(error)) from None
        return value

    return validate


class Tracking(Config):
    """Where the study is tracked. It does not affect the results."""

    uri: (
        Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_valid(require_tracker))] | None
    ) = None
    """An MLflow tracking server or database (`http://host:port`, `sqlite:///file`) in place of the
    local store.
    """
    optuna: (
        Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_valid(require_database))] | None
    ) = None
    """A database that a team shares (`postgresql+psycopg://user@host/name`) in place of the local
    Optuna journal.
    """
