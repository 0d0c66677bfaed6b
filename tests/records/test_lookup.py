"""Which revisions a word on the command line means, in a home made by hand; and the commands that
take such a word.
"""

import json
import os
import sys

import pytest

from ablab.cli.app import exit_status
from ablab.errors import UserError
from ablab.execute.manage import find_target, plan_removal
from ablab.records.home import make_home
from ablab.records.lookup import records_of
from ablab.records.study_content import RunEntry
from tests.study_records import write_study

REVISIONS = ("abcd11111111", "abcd22222222", "ef0033333333")  # the latest last


@pytest.fixture
def home(tmp_path):
    """A study of three revisions, its smoke profile, and a study whose name has a colon."""
    for name, revisions in (
        ("x", REVISIONS),
        ("x@smoke", REVISIONS[:1]),
        ("odd:abcd", REVISIONS[1:2]),
    ):
        for when, revision in enumerate(revisions, start=1):
            runs = [RunEntry("a", 1, f"{revision}-run")]
            record = write_study(tmp_path, name, runs, revision=revision)
            os.utime(record.path, (when, when))
    return make_home(tmp_path)


@pytest.fixture
def ask(home, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ablab", *arguments, "--home", str(home.root)])
        return exit_status(), *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("word", "profile", "name", "revisions"),
    [
        ("x", None, "x", REVISIONS),
        ("x:abcd1", None, "x", REVISIONS[:1]),
        ("x:abcd22222222", None, "x", REVISIONS[1:2]),
        ("x:ef00", None, "x", REVISIONS[2:]),
        ("x@smoke:abcd", None, "x@smoke", REVISIONS[:1]),
        ("x:abcd", "smoke", "x@smoke", REVISIONS[:1]),
        ("odd:abcd", None, "odd:abcd", REVISIONS[1:2]),
        ("odd:abcd:abcd2", None, "odd:abcd", REVISIONS[1:2]),
    ],
)
def test_what_a_word_means(home, word, profile, name, revisions):
    found = records_of(home, word, profile)
    assert [(record.name, record.revision) for record in found] == [
        (name, revision) for revision in revisions
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x:abcd", "x: several revisions begin with 'abcd'"),
        ("x:0000", "x: no revision begins with '0000'"),
        ("x:ef0", "x: a revision is named by 4 of its characters or more, not by 'ef0'"),
        ("x:", "x: a revision is named by 4 of its characters or more, not by ''"),
        ("xx:abcd1", "no study named 'xx'"),
    ],
)
def test_what_names_no_revision_is_told_which_there_are(home, word, message):
    with pytest.raises(UserError) as error:
        records_of(home, word, None)
    assert str(error.value).startswith(message)
    if word.startswith("x:"):
        assert f"known, the latest last: {', '.join(REVISIONS)}" in str(error.value)


def test_commands_take_it(ask, home):
    status, out, errors = ask("status", "x:abcd2")
    assert (status, errors) == (0, "")
    assert "x (revision abcd22222222): 0 of 1 runs done" in out
    assert ask("status", "x")[2] == f"x: the latest revision in {home.root}, ef0033333333\n"
    assert "asked 0 runs under way and 1 run waiting to stop" in ask("cancel", "x:abcd1")[1]
    assert (home.root / "runs" / "abcd11111111-run" / "stop.json").exists()
    assert "to be tried again: 1 run," in ask("retry", "x:abcd1")[1]
    status, _, errors = ask("report", "x:abcd")
    assert status == 2
    assert "several revisions begin with 'abcd'" in errors


def test_studies_lists_the_revisions(ask):
    (_, _, x) = sorted(
        json.loads(ask("studies", "--json")[1]), key=lambda study: len(study["earlier"])
    )
    assert (x["study"], x["revision"], x["earlier"]) == (
        "x",
        "ef0033333333",
        ["abcd22222222", "abcd11111111"],
    )
    lines = ask("studies")[1].splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("x  revision ef0033333333"))
    assert lines[at + 1] == "  earlier revisions: abcd22222222, abcd11111111"


def test_a_revision_is_not_removed_alone(home):
    """Else all of the study would go."""
    with pytest.raises(
        UserError,
        match="a study goes with all its revisions, not with abcd11111111 alone: `ablab rm x`",
    ):
        plan_removal(home, [find_target(home, "x:abcd1", None)])
    assert plan_removal(home, [find_target(home, "x", None)]).studies == ("x",)
