"""The records of the studies in a home: a file for each revision."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ablab.errors import UserError
from ablab.json_lines import append_row, read_rows
from ablab.records.home import Home, edition
from ablab.records.study_content import StudyContent, TrackerState
from ablab.records.study_reader import keys_of, read_content, tracker_state_of
from ablab.records.timings import TimingLog
from ablab.sealed import DamagedFile, read_sealed, write_sealed


@dataclass(frozen=True)
class Execution:
    """One `ablab run` of a study."""

    time: float
    """When it ended (Unix time)."""
    wall_seconds: float
    """Its duration, with start-up and planning."""
    workers: int
    """Runs trained at the same time."""
    busy_seconds: float
    """Time that the workers spent in training steps, validation and measuring costs, in all."""
    trained: int
    """Runs that it trained."""


class StudyRecord:
    """A revision of a study in a home: the resolved study, its plan, and how it was executed."""

    def __init__(self, home: Home, name: str, revision: str) -> None:
        self.home, self.name, self.revision = home, name, revision
        self.path = home.study(name) / f"{revision}.json"
        self._executions = self.path.with_suffix(".executions")
        self.timings = TimingLog(self.path.with_name("arms.timings"))
        self.reports = home.reports(name)
        self.edition = edition(name, revision)

    def write(self, content: StudyContent) -> None:
        """Write the revision. What is known of the tracker stays."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if content.mirrored is None and self.path.exists():
            content = replace(content, mirrored=self.mirrored)
        write_sealed(self.path, content.as_json())

    def read(self) -> StudyContent:
        """Return the content of the record.

        Raises:
            UserError: if this revision was never run here, or by a version of ablab whose records
                cannot be read.
            DamagedFile: if the record is damaged. `ablab run` of the study's file writes it again.

        """
        try:
            return read_content(self._content())
        except ValueError:
            raise UserError(
                f"{self.name!r} (revision {self.revision}) was recorded by another version of "
                "ablab: `ablab run` its file again"
            ) from None

    def read_if_possible(self) -> StudyContent | None:
        """Return the content of the record; None if it was never run here, is damaged, or was
        written by a version of ablab whose records cannot be read.
        """
        try:
            return self.read()
        except UserError:
            return None

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its runs and trials, also where another version of ablab recorded it.

        Raises:
            UserError: if this revision was never run here.
            DamagedFile: if the record is damaged.

        """
        return keys_of(self._content())

    def _content(self) -> dict[str, Any]:
        content = read_sealed(self.path, self.home.root)
        if content is None:
            raise UserError(
                f"{self.name!r} (revision {self.revision}) has not been run in "
                f"{self.home.root}: `ablab run` it first"
            )
        return content

    def executed(self, execution: Execution) -> None:
        """Add an execution."""
        append_row(self._executions, asdict(execution))

    @property
    def executions(self) -> list[Execution]:
        """The executions so far, oldest first."""
        names = {field.name for field in fields(Execution)}
        rows = [{"time": 0.0, **row} for row in read_rows(self._executions)]
        return [Execution(**row) for row in rows if row.keys() == names]

    @property
    def last_used(self) -> float:
        """When it was last run (Unix time)."""
        files = (self.path, self._executions)
        return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

    @property
    def mirrored(self) -> TrackerState | None:
        """What a tracker shows of this revision; None where nothing is known of it."""
        # Not `read`: a plan that changes is written often, and this part of the record stays.
        try:
            return tracker_state_of(read_sealed(self.path, self.home.root) or {})
        except DamagedFile:
            return None

    def note_mirrored(self, state: TrackerState) -> None:
        """Record that a tracker shows all runs."""
        self.write(replace(self.read(), mirrored=state))


def study_names(home: Home) -> list[str]:
    """The studies with a revision in this home: one that was removed beside its driver may have
    left executions alone.
    """
    return sorted({file.parent.name for file in (home.root / "studies").glob("*/*.json")})


def revisions(home: Home, name: str) -> list[StudyRecord]:
    """The revisions of `name`, the one written last at the end."""
    files = sorted(home.study(name).glob("*.json"), key=lambda p: p.stat().st_mtime)
    return [StudyRecord(home, name, file.stem) for file in files]
