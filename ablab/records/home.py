"""The home: the folders of records, tokens and studies, and of the local tracker."""

import shlex
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablab.errors import UserError
from ablab.files import locked
from ablab.names import component, study_name
from ablab.sealed import HOME_FILE, is_sealed, read_sealed, write_sealed

if TYPE_CHECKING:
    from ablab.spec.study import Study

EARLIER_IDENTITY = ".identity"
"""Name of the file that held a home's identity before homes were sealed."""
_DEFAULT = Path(".ablab")
_LOCK = ".home.lock"
_CONTENT = (
    HOME_FILE,
    EARLIER_IDENTITY,
    _LOCK,
    ".views.lock",
    "accounts.json",
    "checks",
    "drivers",
    "ideas",
    "jobs",
    "ledger.jsonl",
    "ledger.lock",
    "mlflow",
    "optuna",
    "reports",
    "runs",
    "studies",
    "tokens",
)


@dataclass(frozen=True)
class Home:
    """`root`: records, tokens, studies, reports. `mlflow`: MLflow's local store."""

    root: Path
    mlflow: Path

    @property
    def option(self) -> str:
        """What a command needs to use this home, with a space before it; empty for the default."""
        return "" if self.root == _DEFAULT else f" --home {shlex.quote(str(self.root))}"

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

    @property
    def is_unverified(self) -> bool:
        """Whether an earlier version of ablab wrote the home, whose files have no digests."""
        return not is_sealed(self.root) and any(
            (self.root / name).is_dir() for name in ("runs", "studies")
        )

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the home must know, in words; empty if nothing."""
        if not self.is_unverified:
            return []
        return [
            f"{self.root} is unverified: an earlier version of ablab wrote it, without digests "
            "(`ablab fsck --repair` checks it and makes it writable)"
        ]

    def require_current(self) -> None:
        """Raise UserError if the home may only be read: it is unverified."""
        if self.is_unverified:
            raise UserError(
                f"{self.root} was written by an earlier version of ablab, and damage to its files "
                "would not be noticed: it can be read, and `ablab fsck --repair` makes it writable"
            )

    def create(self) -> None:
        """Write the file of a new home. Raises UserError if the home may only be read."""
        self.require_current()
        if is_sealed(self.root):
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / _LOCK):  # another process may create it at the same time
            if not is_sealed(self.root):
                self.write_identity(uuid.uuid4().hex)

    def write_identity(self, identity: str) -> None:
        """Write the file of the home, which says that all of its files are sealed."""
        write_sealed(self.root / HOME_FILE, {"identity": identity})

    def identity(self) -> str:
        """Return what distinguishes this home from every other, on whatever machine.

        Raises DamagedFile if it is damaged.
        """
        content = read_sealed(self.root / HOME_FILE, self.root)
        if content is not None:
            return content["identity"]
        with suppress(FileNotFoundError):
            return (self.root / EARLIER_IDENTITY).read_text()  # of an earlier version
        if self.is_unverified:
            return ""  # it was never tracked
        self.create()
        return self.identity()

    def study(self, name: str) -> Path:
        """The folder of a study's revisions. Raises UserError if it would lie elsewhere."""
        return self.root / "studies" / component(name)

    def reports(self, name: str) -> Path:
        """The folder of a study's reports. Raises UserError if it would lie elsewhere."""
        return self.root / "reports" / component(name)

    def optuna(self, study: str) -> Path:
        """The journal that Optuna's view of a study is kept in."""
        return self.root / "optuna" / f"{component(study)}.journal"

    def tracking_uri(self, study: "Study | None" = None) -> str:
        """Where runs are tracked: the study's own server, or the local SQLite store."""
        if study is not None and study.tracking is not None and study.tracking.uri is not None:
            return study.tracking.uri
        return f"sqlite:///{self.mlflow.resolve() / 'mlflow.db'}"

    def written(self, study: "Study") -> tuple[Path, ...]:
        """Files and folders that running a study writes to, in the home and in the local store of
        its tracker. They are no part of a corpus.
        """
        paths = [*(self.root / name for name in _CONTENT), self.mlflow]
        uri = self.tracking_uri(study)
        if uri.startswith("sqlite"):
            database = uri.partition(":///")[2].partition("?")[0]
            paths += [Path(database + suffix) for suffix in ("", "-journal", "-shm", "-wal")]
            paths.append(Path(database).parent / "artifacts")
        return tuple(paths)


def home_at(root: Path) -> Home:
    """Return the home whose records are in the folder `root`."""
    return make_home(None if root == _DEFAULT else root)


def make_home(root: Path | None) -> Home:
    """The home of `--home`; without it `.ablab/`, with MLflow's store in `mlflow/`, of the current
    folder.
    """
    if root is None:
        return Home(_DEFAULT, Path("mlflow"))
    return Home(root, root / "mlflow")


def label(name: str, profile: str | None) -> str:
    """A study's name in a home: its file's stem, and its profile."""
    return name if profile is None else f"{name}@{profile}"


def label_of(file: Path, profile: str | None) -> str:
    """The name in a home of the study in `file`. Raises UserError for a file that names none."""
    return label(study_name(file), profile)


def edition(name: str, revision: str) -> str:
    """A revision of a study, in one word: what prunes trials, and an Optuna study's name."""
    return f"{name}/{revision}"
