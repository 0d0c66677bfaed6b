"""Names of studies and profiles: those that leave a home or collide are refused at the entrance."""

import json
import sys
from pathlib import Path

import pytest

from ablab.cli.app import main
from ablab.errors import UserError
from ablab.execute.manage import find_target, plan_removal, remove
from ablab.execute.request import Request, planned
from ablab.execute.session import Session
from ablab.names import printable, require_file_name, require_label, require_profile, study_name
from ablab.records.home import make_home
from ablab.records.lookup import records_of
from ablab.records.study_content import RunEntry
from ablab.records.study_record import StudyRecord, study_names
from tests.standin import Silent
from tests.study_records import write_study

REFUSED = [
    "",
    " ",
    ".",
    "..",
    "...",
    ".hidden",
    "-x",
    "~x",
    "x.",
    " x",
    "x ",
    "cpu/small",
    "../x",
    "a\\b",
    "a:b",
    "a@b",
    "a?b",
    "a%b",
    "a#b",
    "a*b",
    "a\nb",
    "a\tb",
    "a\0b",
    "a\x1b[31mb",
    "a\x9bb",
    "a\u202eb",
    "a\ud800b",
    "x" * 4000,
    "字" * 70,
]
ACCEPTED = ["x", "gpt2_vs_llama", "two words", "v1.2-b", "größe", "実験", "👩‍👩‍👧", "x" * 100]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_name_that_passes_makes_a_file(tmp_path, name):
    assert require_file_name("study", name) == require_profile(name) == name
    assert study_name(Path(f"{name}.yaml")) == name
    home = make_home(tmp_path)
    record = StudyRecord(home, f"{name}@{name}-pilot", "abcd11111111")
    for file in (record.path, home.optuna(record.name), record.reports / "x"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    assert study_names(home) == [record.name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_does_not_is_refused_in_a_printable_line(name):
    with pytest.raises(UserError) as error:
        require_file_name("study", name)
    message = printable(str(error.value))
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[2Jb", "a\u2066b", "x" * 4000])
def test_so_is_one_that_is_shown_alone(name):
    with pytest.raises(UserError):
        require_label("arm", name)
    assert (
        require_label("arm", "gpt2 + rope(base=5e5) #1 / 50 %?")
        == "gpt2 + rope(base=5e5) #1 / 50 %?"
    )


@pytest.mark.parametrize("name", ["pilot", "small-pilot"])
def test_a_profile_is_not_named_as_a_pilot_of_the_study(name):
    with pytest.raises(UserError, match="pilot"):
        require_profile(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\0b"])
def test_no_name_leaves_a_home(tmp_path, name):
    home = make_home(tmp_path)
    for folder in (home.study, home.reports, home.optuna):
        with pytest.raises(UserError, match="is not the name of a file in a home"):
            folder(name)


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ablab", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


@pytest.mark.parametrize("verb", ["plan", "run", "rm", "report", "status", "cancel", "retry"])
@pytest.mark.parametrize("file", ["..yaml", "...yaml", "a@b.yaml", "a%b.yaml", "a\x1b[2Jb.yaml"])
def test_a_study_file_that_names_none_is_refused(
    tmp_path, monkeypatch, command, study_text, verb, file
):
    write_study(tmp_path / ".ablab", "x", [RunEntry("a", 1, "k1")])
    (tmp_path / file).write_text(study_text)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status, _, errors = command(verb, file, *(["--yes"] if verb == "rm" else []))
    assert status == 2
    assert printable(file) in errors
    assert "rename the file" in errors
    assert "\x1b" not in errors
    assert sorted(tmp_path.rglob("*")) == before


def test_a_profile_that_names_none_is_refused(tmp_path, monkeypatch, command, study_text):
    (tmp_path / "x.yaml").write_text(study_text + "profiles: {cpu/small: {seeds: 3}}\n")
    monkeypatch.chdir(tmp_path)
    status, _, errors = command("run", "x.yaml", "--profile", "cpu/small")
    assert (status, errors) == (2, "ablab: profile 'cpu/small': no / in a name\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


@pytest.fixture
def files(tmp_path, study_text):
    """Two files of one name that say different things."""
    for folder, seeds in (("a", 2), ("b", 3)):
        file = tmp_path / folder / "exp.yaml"
        file.parent.mkdir()
        file.write_text(study_text.replace("seeds: 2", f"seeds: {seeds}"))
    return tmp_path / "a" / "exp.yaml", tmp_path / "b" / "exp.yaml"


def write(home, file):
    """Write the record of a study, as `ablab run` does, and return what it says."""
    display = Silent()
    Session(planned(Request(file, None, (), ()), home.root), home, display).write()
    return display.said


def test_two_files_of_one_name_are_refused_with_both(tmp_path, files):
    home = make_home(tmp_path / "home")
    a, b = files
    write(home, a)
    for look in (lambda: write(home, b), lambda: records_of(home, str(b), None)):
        with pytest.raises(UserError) as error:
            look()
        assert str(b) in str(error.value)
        assert "../a/exp.yaml" in str(error.value)
    with pytest.raises(UserError, match="another file of this name"):
        find_target(home, str(b), None)
    assert write(home, a) == []


def test_a_copy_that_says_the_same_is_the_same_study(tmp_path, files):
    home = make_home(tmp_path / "home")
    a, b = files
    write(home, a)
    b.write_text(a.read_text() + "# a copy\n")
    assert write(home, b) == []
    assert len(records_of(home, str(b), None)) == 1


def test_a_file_that_was_moved_goes_on(tmp_path, files):
    home = make_home(tmp_path / "home")
    a, b = files
    write(home, a)
    a.unlink()
    (line,) = write(home, b)
    assert "which is gone: it goes on with" in line
    assert write(home, b) == []
    assert str(tmp_path) not in (home.study("exp") / "file.origin").read_text()


def test_a_study_of_an_earlier_version_takes_the_file_it_is_run_from(tmp_path, files):
    home = make_home(tmp_path / "home")
    a, b = files
    write(home, a)
    (home.study("exp") / "file.origin").unlink()
    write(home, b)
    a.write_text(a.read_text().replace("seeds: 2", "seeds: 4"))
    with pytest.raises(UserError, match="another file of this name"):
        write(home, a)


def test_a_run_key_of_a_damaged_record_removes_nothing_else(tmp_path):
    """The key is the name of the folder that is removed."""
    home = make_home(tmp_path / "home")
    keep = tmp_path / "keep"
    keep.mkdir()
    record = write_study(home.root, "x", [RunEntry("a", 1, "../../keep")])
    assert "../../keep" in json.dumps(record.keys)
    targets = [find_target(home, "x", None)]
    with pytest.raises(UserError, match="is not the name of a file in a home"):
        remove(home, targets, plan_removal(home, targets))
    assert keep.exists()
