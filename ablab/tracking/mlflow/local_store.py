"""Removal of studies and runs from the home's own MLflow store."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

from ablab.errors import UserError
from ablab.records.home import Home
from ablab.tracking.mlflow.connection import available
from ablab.tracking.mlflow.errors import NoStore, explained
from ablab.tracking.mlflow.parents import forget_runs, forget_study
from ablab.tracking.mlflow.store import Store, open_store


class LocalStore:
    """The home's own store, if it exists, to delete studies and runs from.

    MLflow keeps what is deleted until its garbage collection. Raises UserError on construction if
    the store cannot be used.
    """

    def __init__(self, home: Home) -> None:
        self._uri = home.tracking_uri()
        self._store: Store | None = None
        if available() and any(home.mlflow.glob("*.db")):
            with suppress(NoStore), self._explained():
                self._store = open_store(self._uri, home.mlflow, home.identity(), make=False)

    def forget(self, studies: Iterable[str], runs: Collection[str]) -> None:
        """Delete `studies`, and the runs with keys in `runs` from all other studies."""
        if self._store is None:
            return
        with self._explained():
            for name in studies:
                forget_study(self._store, name)
            forget_runs(self._store, runs)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NoStore:
            raise
        except Exception as error:  # MLflow's clients raise what their transports raise
            raise UserError(explained(error, self._uri)) from error
