"""Fixtures of the tests of frames."""

from pathlib import Path

import pytest

from ablab.records.study_record import StudyRecord
from tests.frames.many_studies import make


@pytest.fixture(scope="session")
def study_of(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    """Returns the record of a study of a kind, which tests must not change."""
    made: dict[str, StudyRecord] = {}

    def call(kind: str) -> StudyRecord:
        if kind not in made:
            made[kind] = make(kind, corpus, tmp_path_factory.mktemp("study"))
        return made[kind]

    return call
