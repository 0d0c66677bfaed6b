"""`ablab fsck` says what is wrong with a home, and repairs what it can."""

import os

import pytest

from ablab.cli.fsck import fsck
from ablab.errors import UserError
from ablab.records.driver_lock import hold_driver_lease
from ablab.records.home import Home, make_home
from ablab.records.run_record import Record
from ablab.records.study_content import RunEntry
from tests.standin import result
from tests.study_records import write_study


@pytest.fixture
def home(tmp_path) -> Home:
    """A home with a finished run of a study."""
    write_study(tmp_path, "x", [RunEntry("a", 1, "a1")])
    record = Record(tmp_path, "a1")
    record.metrics.append(1, {"train/loss": 3.0})
    record.finish(result(3.0))
    return make_home(tmp_path)


def flip_bit(path, position=30):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def check(home: Home, capsys, **options) -> tuple[int, list[str]]:
    """Run the command, and return its exit status and its lines."""
    status = 0
    try:
        fsck(home=home.root, **options)
    except SystemExit as exit_request:
        status = int(exit_request.code or 0)
    return status, capsys.readouterr().out.splitlines()


def test_a_sound_home_is_said_to_be_sound(home, capsys):
    assert check(home, capsys) == (0, [f"{home.root}: all files are as they were written"])
    assert check(home, capsys, repair=True)[0] == 0


def test_each_fault_is_named_with_its_remedy_and_nothing_is_changed(home, capsys):
    study = home.root / "studies" / "x" / "r1.json"
    metrics = home.root / "runs" / "a1" / "metrics.jsonl"
    for path in (study, metrics):
        flip_bit(path)
    (home.root / "accounts.json").write_text("{}")
    draft = home.root / "runs" / "a1" / f".result.json.{'0' * 32}"
    draft.write_text("{")
    before = sorted(home.root.rglob("*"))
    status, lines = check(home, capsys)
    assert status == 1
    assert sorted(home.root.rglob("*")) == before
    text = "\n".join(lines)
    assert f"{study} is damaged (its digest does not match)" in text
    assert f"{metrics} is damaged (its digest does not match)" in text
    assert "accounts.json is damaged (it has no seal)" in text
    assert f"{draft} is a draft that was not completed" in text
    assert "`ablab run` of its study trains the run again" in text
    assert lines[-1] == f"{home.root}: 4 fault(s)"


def test_repairs_set_damaged_files_aside(home, capsys):
    study = home.root / "studies" / "x" / "r1.json"
    run = home.root / "runs" / "a1"
    damaged = {path: path.read_bytes() for path in (study, run / "result.json")}
    for path in damaged:
        flip_bit(path)
        damaged[path] = path.read_bytes()
    status, lines = check(home, capsys, repair=True)
    assert (status, lines[-1]) == (0, f"{home.root}: 2 fault(s) repaired")
    for path, content in damaged.items():
        assert not path.exists()
        (aside,) = (path.parent / "damaged").glob(f"*.{path.name}")
        assert aside.read_bytes() == content
    assert not Record(home.root, "a1").finished
    assert check(home, capsys)[0] == 0


def test_nothing_is_repaired_while_a_study_is_being_run(home, capsys):
    flip_bit(home.root / "runs" / "a1" / "result.json")
    with (
        hold_driver_lease(home, "x"),
        pytest.raises(UserError, match=f"study x is being run by process {os.getpid()}"),
    ):
        check(home, capsys, repair=True)
    assert (home.root / "runs" / "a1" / "result.json").exists()


def test_there_must_be_a_home(tmp_path, capsys):
    with pytest.raises(UserError, match="there is no home in"):
        check(make_home(tmp_path / "none"), capsys)
