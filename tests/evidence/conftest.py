"""Homes of studies that a stand-in trainer ended at once."""

from pathlib import Path

import pytest

from ablab.records.home import Home
from tests.frames.many_studies import make


@pytest.fixture(scope="session")
def homes(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    """Returns the home of a study of a kind, which tests must not change."""
    made: dict[str, Home] = {}

    def call(kind: str) -> Home:
        if kind not in made:
            made[kind] = make(kind, corpus, tmp_path_factory.mktemp("home")).home
        return made[kind]

    return call
