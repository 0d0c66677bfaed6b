"""The home: where records, tokens and studies live, and what is known of each study in it."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablab.errors import UserError
from ablab.files import read_json, write_atomically, write_json

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


class StudyRecord:
    """A revision of a study in a home: the resolved study, its plan, and how it was executed."""

    def __init__(self, home: Home, name: str, revision: str) -> None:
        self.home, self.name, self.revision = home, name, revision
        self.path = home.root / "studies" / name / f"{revision}.json"
        self._executions = self.path.with_suffix(".executions")
        self.reports = home.root / "reports" / name
        self.edition = edition(name, revision)

    def write(self, study: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
        """Writes the revision; what is known of earlier executions stays."""
        old = read_json(self.path) or {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "study": self.name,
            "revision": self.revision,
            "sources": dict(sources),
            **study,
            "mirrored": old.get("mirrored"),
        }
        write_json(self.path, content)

    def read(self) -> dict[str, Any]:
        """What `write` wrote. Raises UserError where this revision was never run here."""
        content = read_json(self.path)
        if content is None:
            raise UserError(
                f"{self.name!r} (revision {self.revision}) has not been run in "
                f"{self.home.root}: `ablab run` it first"
            )
        # What studies written before there were trials, notes and shared recipes do not say.
        expected = {"runs": len({run["key"] for run in content["runs"]}), "trials": 0}
        return {"trials": [], "notes": [], "expected": expected, "shared": None, **content}

    def executed(self, execution: Mapping[str, Any]) -> None:
        """Notes an execution: wall_seconds, workers, busy_seconds, trained."""
        self._executions.parent.mkdir(
            parents=True, exist_ok=True
        )  # somebody may have removed the study meanwhile
        with self._executions.open(
            "a"
        ) as file:  # appended, since two drivers may note theirs at once
            file.write(json.dumps(dict(execution)) + "\n")

    @property
    def executions(self) -> list[dict[str, Any]]:
        """How it was executed so far."""
        lines = (
            self._executions.read_text().splitlines(keepends=True)
            if self._executions.exists()
            else []
        )
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def last_used(self) -> float:
        """When it was last run (Unix time)."""
        files = (self.path, self._executions)
        return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

    @property
    def mirrored(self) -> Any:
        """What a tracker shows of this revision: its address and the keys of the runs."""
        return self.read()["mirrored"]

    def note_mirrored(self, view: Mapping[str, Any]) -> None:
        """Notes that a tracker shows all of it."""
        write_json(self.path, {**self.read(), "mirrored": dict(view)})


def parts_alone(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a study's record: each part's, as it would be alone; none where the study has no parts."""
    shared = {key: value for key, value in content.items() if key != "parts"}
    return [{**shared, **part} for part in content.get("parts", ())]


def study_names(home: Home) -> list[str]:
    """The studies with a revision in this home: one that was removed beside its driver may have
    left executions alone.
    """
    return sorted({file.parent.name for file in (home.root / "studies").glob("*/*.json")})


def revisions(home: Home, name: str) -> list[StudyRecord]:
    """The revisions of `name`, the one written last at the end."""
    files = sorted((home.root / "studies" / name).glob("*.json"), key=lambda p: p.stat().st_mtime)
    return [StudyRecord(home, name, file.stem) for file in files]
