"""A study that is long enough to be cut off, and what it comes to if it is not."""

from pathlib import Path

import pytest

from tests.conftest import STUDY, results
from tests.inprocess import run_command

_LONG = {
    "leave_one_out": "compare",
    "steps: 4": "steps: 300",
    "seeds: 2": "seeds: 2\ncheckpoint_seconds: 0.2",
}


@pytest.fixture(scope="session")
def long_study(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Four runs of seconds each, with a checkpoint every fifth of a second."""
    text = STUDY.format(corpus=corpus)
    for old, new in _LONG.items():
        text = text.replace(old, new)
    file = tmp_path_factory.mktemp("long") / "x.yaml"
    file.write_text(text)
    return file


@pytest.fixture(scope="session")
def uninterrupted(long_study: Path):
    """What the four runs come to."""
    folder = long_study.parent
    ended = run_command(folder, "run", long_study, "--home", folder / "whole", "--workers", 2)
    assert ended.returncode == 0, ended.stderr
    return results(folder / "whole")
