"""Finds the revisions of a study that a word on the command line means."""

from collections.abc import Sequence
from pathlib import Path

from ablab.errors import UserError, unknown
from ablab.records.home import Home, label, label_of
from ablab.records.study_origin import require_same_file
from ablab.records.study_record import StudyRecord, revisions, study_names

_MIN_LENGTH = 4  # characters that a revision is named by


def is_file(study: str) -> bool:
    """Return whether a study is named by its file."""
    return study.endswith((".yaml", ".yml"))


def records_of(
    home: Home, study: str, profile: str | None, overrides: Sequence[str] = ()
) -> list[StudyRecord]:
    """Return the records of a study, the one written last at the end.

    A study file (with `overrides`) or NAME:REVISION means one revision, of which a unique prefix is
    enough. A name alone means all revisions in the home.

    Raises:
        UserError: with the names or the revisions that are known.

    """
    if is_file(study):
        from ablab.spec.study import load_study

        file = Path(study)
        name = label_of(file, profile)
        resolved, _ = load_study(file, profile, list(overrides))
        require_same_file(home, name, file, resolved.revision())
        return [StudyRecord(home, name, resolved.revision())]
    if overrides:
        raise UserError("overrides go with a study file: a name means what was run")
    name, colon, prefix = study.rpartition(":")
    if not colon or label(study, profile) in study_names(home):
        return _all_revisions(home, label(study, profile))
    return [_one_revision(_all_revisions(home, label(name, profile)), prefix)]


def _all_revisions(home: Home, name: str) -> list[StudyRecord]:
    names = study_names(home)
    if not names:
        raise UserError(f"no study has been run in {home.root} yet: `ablab run FILE` first")
    records = revisions(home, name) if name in names else []
    if not records:
        raise unknown("study", name, names)
    return records


def _one_revision(records: Sequence[StudyRecord], prefix: str) -> StudyRecord:
    matches = [record for record in records if record.revision.startswith(prefix)]
    if len(prefix) >= _MIN_LENGTH and len(matches) == 1:
        return matches[0]
    if len(prefix) < _MIN_LENGTH:
        problem = (
            f"a revision is named by {_MIN_LENGTH} of its characters or more, not by {prefix!r}"
        )
    elif matches:
        problem = f"several revisions begin with {prefix!r}"
    else:
        problem = f"no revision begins with {prefix!r}"
    names = ", ".join(record.revision for record in records)
    raise UserError(f"{records[0].name}: {problem} (known, the latest last: {names})")
