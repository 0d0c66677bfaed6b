"""The home: the folders of records, tokens and studies, and of the local tracker."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablab.files import write_atomically

if TYPE_CHECKING:
    from ablab.spec.study import Study


@dataclass(frozen=True)
class Home:
    """`root`: records, tokens, studies, reports. `mlflow`: MLflow's local store."""

    root: Path
    mlflow: Path

    @property
    def tokens(self) -> Path:
        """The token stores."""
        return self.root / "tokens"

    @property
    def views_lock(self) -> Path:
        """Locked while something is looked for in a tracker and made where it is not there: another
        driver may do the same.
        """
        return self.root / ".views.lock"

    def identity(self) -> str:
        """What tells this home from every other, on whatever machine: made when it is first asked
        for.
        """
        file = self.root / ".identity"
        if not file.exists():
            write_atomically(file, lambda draft: draft.write(uuid.uuid4().hex.encode()))
        return file.read_text()

    def optuna(self, study: str) -> Path:
        """The journal that Optuna's view of a study is kept in."""
        return self.root / "optuna" / f"{study}.journal"

    def tracking_uri(self, study: "Study | None" = None) -> str:
        """Where runs are tracked: the study's own server, or the local SQLite store."""
        if study is not None and study.tracking is not None and study.tracking.uri is not None:
            return study.tracking.uri
        return f"sqlite:///{self.mlflow.resolve() / 'mlflow.db'}"


def make_home(root: Path | None) -> Home:
    """The home of `--home`; without it `.ablab/`, with MLflow's store in `mlflow/`, of the current
    folder.
    """
    if root is None:
        return Home(Path(".ablab"), Path("mlflow"))
    return Home(root, root / "mlflow")


def label(name: str, profile: str | None) -> str:
    """A study's name in a home: its file's stem, and its profile."""
    return name if profile is None else f"{name}@{profile}"


def edition(name: str, revision: str) -> str:
    """A revision of a study, in one word: what prunes trials, and an Optuna study's name."""
    return f"{name}/{revision}"
