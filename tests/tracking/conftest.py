"""A finished study for the tests of tracking, made once."""

from pathlib import Path

import pytest

from ablab.execute.session import Session
from tests.conftest import STUDY
from tests.tracking.stores import carry_out, compare


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, Session]:
    """Its folder, and the session that made it: to be looked at, never written."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "x.yaml").write_text(compare(STUDY.format(corpus=corpus)))
    session, display = carry_out(folder / "x.yaml", folder / "home")
    assert not [text for text in display.said if "MLflow" in text]
    return folder, session
