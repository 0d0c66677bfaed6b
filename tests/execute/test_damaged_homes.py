"""Faults of every file of a home: what is damaged is noticed, and made again with equal numbers."""

import random
import re
import shutil
from pathlib import Path

import pytest

from ablab.execute.session import Request, Session, planned
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.fsck.check import check_home, repair_home
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.sealed import DamagedFile
from tests.execute.inline import carry_out, figures, write_study
from tests.standin import Silent


class AfterSteps:
    """A stop signal that is set after `count` steps."""

    def __init__(self, count: int) -> None:
        self._left = count

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    file = tmp_path_factory.mktemp("study") / "s.yaml"
    write_study(file, corpus, steps=6)
    return file


@pytest.fixture(scope="module")
def sound(study: Path) -> tuple[Path, dict[tuple[str, int], float]]:
    """A home with three finished runs and one with two checkpoints, and the figures of all four."""
    home = make_home(study.parent / "home")
    session, _ = carry_out(study, home)
    expected = figures(session)
    spec = session.planned.plan.runs[-1]
    record = Record(home.root, spec.key)
    shutil.rmtree(record.folder)
    record.create(spec)
    Worker(WorkerContext(home.root), AfterSteps(3)).train(spec)
    assert not record.finished
    return home.root, expected


def files_of(root: Path) -> list[Path]:
    """The files that ablab reads again; locks are empty."""
    return sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)


def damage(path: Path, draw: random.Random) -> None:
    """Flip a bit of a file, or cut it off."""
    content = bytearray(path.read_bytes())
    if draw.random() < 0.3:
        del content[draw.randrange(len(content)) :]
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def check_damage(study: Path, sound: tuple[Path, dict], folder: Path, seed: int) -> None:
    """Damage a file of a copy of the home. Reports then show no other figure, and the next run of
    the study gives all figures again.
    """
    root, expected = sound
    draw = random.Random(seed)
    shutil.copytree(root, folder)
    path = draw.choice(files_of(folder))
    damage(path, draw)
    home = make_home(folder)
    findings = [finding.path for finding in check_home(home)]
    session = Session(planned(Request(study, None, (), ()), folder), home, Silent())
    if path == session.record.path:
        with pytest.raises(DamagedFile, match=re.escape(str(path))):
            figures(session)
    else:
        assert figures(session).items() <= expected.items(), path
    if path.name == "home.json":
        assert findings == [path]
        assert repair_home(home, lambda finding: None) == 1
    session, said = carry_out(study, home)
    assert figures(session) == expected, (path, said)
    # The rest of the damage is set aside.
    repair_home(home, lambda finding: None)
    assert not list(check_home(home)), path


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_damage_is_noticed_and_the_numbers_stay(study, sound, tmp_path, seed):
    check_damage(study, sound, tmp_path / "home", seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 400))
def test_damage_is_noticed_and_the_numbers_stay_in_many_homes(study, sound, tmp_path, seed):
    check_damage(study, sound, tmp_path / "home", seed)
    shutil.rmtree(tmp_path / "home")
