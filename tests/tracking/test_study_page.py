"""The address of a study's page in MLflow, and the view that is saved for it."""

import shutil
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow.exceptions import MlflowException

from ablab.cli.server import _page
from ablab.records.home import Home
from ablab.tracking.mlflow.parents import forget_study
from ablab.tracking.mlflow.store import open_store
from mlflow import MlflowClient
from tests.tracking.stores import shown

# MLflow's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def uri(made, tmp_path):
    """A copy of the store of the finished study."""
    folder, _ = made
    shutil.copy(folder / "home" / "mlflow" / "mlflow.db", tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def open_page(made, uri, tmp_path):
    """Returns the query of the study's page, and the saved views by the keys of addresses."""
    _, session = made

    def opened():
        page = _page(Home(tmp_path, tmp_path), uri, "http://server", session.record)
        assert page.startswith("http://server/#/experiments/1/runs?")
        tags = MlflowClient(uri).get_experiment("1").tags
        views = {k.removeprefix("mlflow.sharedViewState."): v for k, v in tags.items()}
        return parse_qs(urlsplit(page.replace("/#", "")).query), views

    return opened


def forbidden(*arguments):
    raise MlflowException("Permission denied", error_code=7)


def test_a_view_is_saved_once_for_each_study(open_page, uri, monkeypatch, capsys):
    query, views = open_page()
    key = shown(uri).parent.info.run_id
    assert query["viewStateShareKey"] == [key]
    assert views[key].startswith("deflate;")
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", forbidden)  # nothing is written
    assert open_page() == (query, views)
    assert capsys.readouterr().err == ""


def test_a_study_that_is_removed_leaves_no_view(made, uri, open_page):
    open_page()
    forget_study(open_store(uri, made[0] / "home" / "mlflow"), "x")
    tags = MlflowClient(uri).get_experiment("1").tags
    assert not [tag for tag in tags if tag.startswith("mlflow.sharedViewState.")]


def check_plain(query, uri):
    (searched,) = query["searchFilter"]
    (order,) = query["orderByKey"]
    assert query["orderByAsc"] == ["true"]
    runs = MlflowClient(uri).search_runs(["1"], searched, order_by=[f"{order} ASC"])
    assert len(runs) == 6
    values = [run.data.metrics["final/val/bpb"] for run in runs]
    assert values == sorted(values)


def test_who_may_not_save_a_view_gets_a_filter_and_an_order(open_page, uri, monkeypatch, capsys):
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", forbidden)
    query, _ = open_page()
    check_plain(query, uri)
    assert capsys.readouterr().err == (
        f"ablab: the view was not saved ({uri} does not permit this user to do that: its "
        "administrator can): the page opens with a filter and an order, and with MLflow's own "
        "columns\n"
    )


def test_pages_of_an_untested_version_get_a_filter_and_an_order(
    open_page, uri, monkeypatch, capsys
):
    monkeypatch.setattr("mlflow.version.VERSION", "3.99.1")
    query, views = open_page()
    check_plain(query, uri)
    assert not [value for value in views.values() if value.startswith("deflate;")]
    assert capsys.readouterr().err.startswith(
        "ablab: views are saved for MLflow 3.17, and this is 3.99.1: the page opens with a filter"
    )
