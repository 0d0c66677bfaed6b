"""The frames of a study as CSV files, all of them or none."""

import csv
import os
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

import ablab
from ablab.errors import UserError
from ablab.files import write_together
from ablab.frames.csv_files import write_csv
from ablab.frames.study_frames import FRAMES
from tests.inprocess import run_command

FILES = [f"{name}.csv" for name in FRAMES]


@pytest.mark.parametrize("kind", ["tuned", "diverged", "planned"])
def test_files_hold_the_frames_with_all_digits(study_of, tmp_path, kind):
    record = study_of(kind)
    study = ablab.study(record.name, home=record.home.root)
    assert write_csv(study, tmp_path / "csv") == [tmp_path / "csv" / name for name in FILES]
    for name in FRAMES:
        frame = getattr(study, name)
        with (tmp_path / "csv" / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert header == list(frame.columns)
        for texts, values in zip(rows, frame.itertuples(index=False), strict=True):
            for text, value in zip(texts, values, strict=True):
                if pd.isna(value):
                    assert text == ""
                elif isinstance(value, float):
                    assert float(text) == value
                else:
                    assert text == str(value)


@pytest.fixture
def report(study_of, tmp_path):
    """Runs `ablab report` on a study of a kind."""

    def call(kind, *arguments):
        record = study_of(kind)
        home = ("--home", record.home.root)
        return run_command(tmp_path, "report", record.name, *arguments, *home)

    return call


def test_the_command_names_the_files_and_what_is_missing(report, tmp_path):
    done = report("unfinished", "--csv", "out/csv")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"out/csv/{name}" for name in FILES]
    assert done.stderr.splitlines()[1:] == [
        "failed: gpt2, seed 1: the disk is on fire",
        "missing: 3 of 8 runs are not finished",
    ]
    assert sorted(path.name for path in (tmp_path / "out" / "csv").iterdir()) == sorted(FILES)
    (tmp_path / "out" / "csv" / "notes.txt").write_text("mine")
    assert report("one part", "--csv", "out/csv").returncode == 0
    assert (tmp_path / "out" / "csv" / "notes.txt").read_text() == "mine"
    runs = pd.read_csv(tmp_path / "out" / "csv" / "runs.csv")
    assert set(runs["state"]) == {"finished"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--csv", "file"), "file cannot be written (Not a directory): name another folder"),
        (("--csv", "file/csv"), "file/csv cannot be written (Not a directory): name another"),
        (("--csv", "csv", "--json"), "--csv writes the numbers of one study, and not together"),
        (("y", "--csv", "csv"), "--csv writes the numbers of one study, and not together"),
    ],
)
def test_what_cannot_be_is_a_line_and_nothing_is_written(report, tmp_path, arguments, words):
    (tmp_path / "file").write_text("mine")
    done = report("one part", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@contextmanager
def unprivileged():
    """Root, who may write everywhere, is nobody meanwhile."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_without_permission_is_a_user_error():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are private
        folder = Path(name)
        folder.chmod(0o555)
        with unprivileged():
            for target in (folder, folder / "csv", folder / "a" / "b"):
                with pytest.raises(UserError, match=r"cannot be written .Permission denied"):
                    write_together(target, {"a.csv": b"1"})
        assert list(folder.iterdir()) == []


def test_nothing_is_replaced_if_a_file_cannot_be(tmp_path):
    write_together(tmp_path, {"a.csv": b"1", "b.csv": b"1"})
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(UserError, match=r"c\.csv is a folder"):
        write_together(tmp_path, {"a.csv": b"2", "c.csv": b"2"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        for folder in (tmp_path, tmp_path / "new"):
            with pytest.raises(OSError, match="File too large"):
                write_together(folder, {"a.csv": b"2", "b.csv": bytes(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "c.csv"]
    assert (tmp_path / "a.csv").read_bytes() == b"1"
