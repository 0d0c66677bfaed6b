"""Which revisions of a study a word on the command line means."""

from collections.abc import Sequence
from pathlib import Path

from ablab.errors import UserError, unknown
from ablab.records.home import Home, StudyRecord, label, revisions, study_names

_FEWEST = 4  # characters that a revision is named by


def is_file(study: str) -> bool:
    """Whether a study is named by its file."""
    return study.endswith((".yaml", ".yml"))


def records_of(
    home: Home, study: str, profile: str | None, overrides: Sequence[str] = ()
) -> list[StudyRecord]:
    """The one revision that a study's file (with `overrides`) or NAME:REVISION means; of a name
    alone all that are in the home, the one written last at the end. As much of a revision as tells
    it apart is enough. Raises UserError with the names or the revisions that are known.
    """
    if is_file(study):
        from ablab.spec.study import load_study

        resolved, _ = load_study(Path(study), profile, list(overrides))
        return [StudyRecord(home, label(Path(study).stem, profile), resolved.revision())]
    if overrides:
        raise UserError("overrides go with a study file: a name means what was run")
    name, apart, begins = study.rpartition(":")
    if not apart or label(study, profile) in study_names(home):
        return _every(home, label(study, profile))
    return [_one(_every(home, label(name, profile)), begins)]


def _every(home: Home, name: str) -> list[StudyRecord]:
    known = study_names(home)
    if not known:
        raise UserError(f"no study has been run in {home.root} yet: `ablab run FILE` first")
    if not (found := revisions(home, name) if name in known else []):
        raise unknown("study", name, known)
    return found


def _one(every: Sequence[StudyRecord], begins: str) -> StudyRecord:
    found = [record for record in every if record.revision.startswith(begins)]
    if len(begins) >= _FEWEST and len(found) == 1:
        return found[0]
    wrong = f"{'several revisions begin' if found else 'no revision begins'} with {begins!r}"
    if len(begins) < _FEWEST:
        wrong = f"a revision is named by {_FEWEST} of its characters or more, not by {begins!r}"
    known = ", ".join(record.revision for record in every)
    raise UserError(f"{every[0].name}: {wrong} (known, the latest last: {known})")
