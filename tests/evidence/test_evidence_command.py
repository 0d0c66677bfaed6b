"""`ablab evidence`."""

import json

import pytest

from ablab.evidence.table import CONTRASTS, write_table
from ablab.spec.study import load_study
from tests.evidence.contrasts import make_contrast


@pytest.fixture
def table(tmp_path):
    """A folder with a table of two changes, of which one helps and hurts."""
    contrasts = [
        make_contrast(-0.05, setting_compute=2e11),
        make_contrast(-0.07, setting_compute=4e11),
        make_contrast(-0.1, change="mqa", setting_lr=0.002),
        make_contrast(0.1, change="mqa", setting_lr=0.008),
    ]
    write_table(tmp_path / "table", contrasts)
    return tmp_path / "table"


def test_a_home_is_saved_and_read_again(ablab, homes, tmp_path):
    home = homes("interactions").root
    saved = ablab("evidence", "--home", home, "--save", tmp_path / "saved")
    assert saved.returncode == 0, saved.stderr
    assert [line.rpartition("/")[2] for line in saved.stdout.splitlines()] == [
        CONTRASTS,
        "runs.csv",
        "studies.json",
    ]
    direct = ablab("evidence", "rope", "--home", home)
    again = ablab("evidence", "rope", "--from", tmp_path / "saved")
    assert direct.stdout == again.stdout
    assert "rope helped in 1 of 1 setting" in direct.stdout


def test_two_homes_are_pooled_and_share_runs_of_one_key(ablab, homes):
    result = ablab(
        "evidence", "rope", "--json", "--home", homes("interactions").root,
        "--also", homes("equal arms").root,
    )  # fmt: skip
    (content,) = json.loads(result.stdout)
    assert [len(setting["contrasts"]) for setting in content["settings"]] == [1, 1]
    assert content["pooled"]["clusters"] == 1  # both studies trained gpt2 and gpt2 + rope


def test_the_overview_lists_all_changes(ablab, table):
    text = ablab("evidence", "--from", table).stdout
    assert "2 × helps" in text
    assert "Conflict: mqa" in text


def test_the_study_that_would_test_a_conflict_is_written(ablab, table, tmp_path):
    result = ablab("evidence", "mqa", "--from", table, "--study", "next.yaml")
    assert result.returncode == 0, result.stderr
    study, _ = load_study(tmp_path / "next.yaml", None, [])
    assert study.nuisance is not None
    again = ablab("evidence", "mqa", "--from", table, "--study", "next.yaml")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rop", "--from", "table"], "no change with evidence named 'rop' (did you mean 'rope'?)"),
        (["--from", "elsewhere"], "elsewhere/runs.csv: there is no such table"),
        (["--home", "nowhere"], "nowhere: no home of studies"),
        (["--home", ".", "--server", "nonsense"], "MLflow: "),
        (["--home", ".", "--server", "sqlite:///none.db"], "there is no MLflow store in"),
        (["--home", "."], "no contrast counts as evidence yet"),
        (["--from", "table", "--also", "."], "--from reads a table alone"),
        (["rope", "--from", "table", "--study", "x.yaml"], "--study needs one change with a conf"),
        (["--findings", "x.md"], "--findings needs --from"),
        (["--findings", "x.md", "--from", "table"], "none are in this folder"),
        (["--metric", "val/loss", "--from", "table"], "no metric of these contrasts named"),
    ],
)
def test_bad_input_takes_one_line_and_exits_with_2(ablab, table, arguments, message):
    result = ablab("evidence", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_unlike_metrics_name_the_way_out(ablab, tmp_path):
    pair = [make_contrast(-0.1), make_contrast(-0.1, metric="val/loss")]
    write_table(tmp_path / "both", pair)
    result = ablab("evidence", "rope", "--from", "both")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "choose --metric val/bpb or --metric val/loss" in result.stderr
    assert ablab("evidence", "rope", "--from", "both", "--metric", "val/loss").returncode == 0
