"""Runs that are removed and trained anew: MLflow shows what was trained last."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from ablab.errors import UserError
from ablab.execute.manage import find_target, plan_removal, remove
from ablab.records.home import make_home
from ablab.tracking.sync import sync
from tests.standin import StandIn
from tests.tracking.stores import check_whole, local, session_of, shown

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and SQLAlchemy's own warnings


@pytest.fixture
def home(made, tmp_path):
    """A home of the test's own with the finished study."""
    return make_home(shutil.copytree(made[0] / "home", tmp_path / "home"))


def train(file, home, value):
    """The study's runs that are not there."""
    session, display = session_of(file, home.root)
    session.run(lambda context: StandIn(home.root, lambda spec: value))
    session.close([], complete=True)
    assert not [text for text in display.said if "MLflow" in text]
    return session


def removed(home, name):
    asked = [find_target(home, name, None)]
    remove(home, asked, plan_removal(home, asked))


def test_a_run_that_is_removed_goes_from_mlflow_and_what_is_trained_anew_is_shown(
    made, home, tmp_path
):
    folder, session = made
    one, other = sorted(session.planned.plan.unique)[:2]
    removed(home, one)
    assert set(session.planned.plan.unique) - set(shown(local(tmp_path)).children) == {one}
    shutil.rmtree(home.root / "runs" / other)  # and nobody tells MLflow
    train(folder / "x.yaml", home, 2.0)
    found = shown(local(tmp_path))
    check_whole(found, home.root)
    assert [found.children[key].data.metrics["final/val/bpb"] for key in (one, other)] == [2.0, 2.0]
    before = {key: run.info.run_id for key, run in found.children.items()}
    train(folder / "x.yaml", home, 1.0)
    assert {key: run.info.run_id for key, run in shown(local(tmp_path)).children.items()} == before
    removed(home, "x")
    with pytest.raises(ValueError, match="not enough values to unpack"):  # no parent
        shown(local(tmp_path))


@pytest.mark.slow
def test_of_two_homes_the_later_result_stands_in_a_store(made, home, tmp_path):
    folder, _ = made
    uri, copy = f"sqlite:///{tmp_path}/team/mlflow.db", f"sqlite:///{tmp_path}/copy/mlflow.db"
    from ablab.tracking.mlflow.copy import copy as copied

    first = session_of(folder / "x.yaml", home.root)[0]
    second = train(folder / "x.yaml", make_home(tmp_path / "second"), 2.0)
    for session in (first, second, first):
        sync(session.record, uri, [])
        if session is first:
            copied("x", uri, copy, pytest.fail)
    for store in (uri, copy):
        check_whole(shown(store), tmp_path / "second")


def test_nothing_is_removed_where_the_tracker_cannot_be_opened(home):
    store = home.mlflow / "mlflow.db"
    with closing(sqlite3.connect(store)) as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
        database.commit()
    before = sorted(home.root.rglob("*"))
    with pytest.raises(UserError, match="was made by a newer MLflow"):
        removed(home, "x")
    assert [path for path in before if not path.exists()] == []
