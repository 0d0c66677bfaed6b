"""Stores that can't be used: told in a line, and left as they are."""

import shutil
import sqlite3
import time
from contextlib import closing

import pytest

from ablab.cli.server import _page
from ablab.cli.server import ui as open_ui
from ablab.cli.sync import sync as sync_command
from ablab.errors import UserError
from ablab.records.home import Home
from ablab.tracking.mlflow.children import find_children
from ablab.tracking.mlflow.parents import find_parents
from ablab.tracking.mlflow.store import open_store
from ablab.tracking.sync import sync
from tests.processes import free_port
from tests.tracking.stores import check_whole, local, shown

# MLflow's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = pytest.mark.filterwarnings("ignore")


def of_another_mlflow(made, file, version):
    """A store that says that its schema is another MLflow's. It lacks a table, for which MLflow
    would migrate it.
    """
    file.write_bytes((made[0] / "home" / "mlflow" / "mlflow.db").read_bytes())
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"update alembic_version set version_num = '{version}'")
        database.execute("drop table secrets")
        database.commit()
    return file.read_bytes()


def test_a_store_of_another_mlflow_is_left_as_it_is(made, tmp_path):
    folder, session = made
    store, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"
    for version, told in (
        ("ffffffffffff", "was made by a newer MLflow"),
        ("0a8213491aaa", "was made by an older MLflow"),
    ):
        before = of_another_mlflow(made, store, version)
        for ask in (
            lambda: sync_command("x", to=uri, home=folder / "home"),
            lambda: sync_command("x", to=local(folder), source=uri),
            lambda: _page(Home(tmp_path, tmp_path), uri, "http://server", session.record),
        ):
            with pytest.raises(UserError, match=told):
                ask()
        assert store.read_bytes() == before


@pytest.mark.slow
def test_bad_stores_are_told_in_a_line_and_at_once(made, tmp_path):
    folder, _ = made
    (tmp_path / "folder.db").mkdir()
    shutil.copy(folder / "home" / "mlflow" / "mlflow.db", tmp_path / "locked.db")
    lock = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    lock.execute("begin exclusive")
    begun = time.monotonic()
    (tmp_path / "none.db").write_text("no database " * 1000)
    for uri, told in (
        (f"sqlite:///{tmp_path}/none.db", "is no database"),
        (f"sqlite:///{tmp_path}/folder.db", "cannot be opened: is it a file"),
        (f"sqlite:///{tmp_path}/locked.db", "is locked by another process: wait for it, or end it"),
        ("http://127.0.0.1:9", "does not answer"),
        (
            "postgresql+psycopg://me:secret@127.0.0.1:9/x",
            r"me:\*\*\*@127.0.0.1:9/x does not answer",
        ),
        ("ftp://me:secret@host", r"'ftp://me:\*\*\*@host' is not the address of a tracking server"),
    ):
        with pytest.raises(UserError, match=told) as error:
            sync_command("x", to=uri, home=folder / "home")
        assert "secret" not in str(error.value)
        assert "\n" not in str(error.value)
    assert time.monotonic() - begun < 90  # MLflow itself asks a database for a hundred seconds
    lock.close()
    with pytest.raises(UserError, match=r"no study named 'y' \(known: x"):
        sync_command("y", home=folder / "home")


def test_a_source_that_is_not_there_makes_nothing(made, tmp_path):
    folder, _ = made
    (tmp_path / "empty.db").touch()
    there = f"sqlite:///{tmp_path}/new/mlflow.db"
    for name, source, told in (
        (
            "x",
            f"sqlite:///{tmp_path}/typo/mlflow.db",
            "there is no MLflow store in sqlite:///.*/typo/mlflow.db",
        ),
        (
            "x",
            f"sqlite:///{tmp_path}/empty.db",
            "there is no MLflow store in sqlite:///.*/empty.db",
        ),
        ("y", local(folder), "no study named 'y' in sqlite"),
    ):
        with pytest.raises(UserError, match=told):
            sync_command(name, to=there, source=source)
    (tmp_path / "x.yaml").write_text(
        (folder / "x.yaml").read_text() + f"tracking: {{uri: '{there}'}}\n"
    )
    with pytest.raises(
        UserError, match=r"'x' is not in sqlite.* yet: `ablab sync x` writes it there"
    ):
        open_ui(str(tmp_path / "x.yaml"), home=folder / "home", port=free_port())
    assert {file.name for file in tmp_path.iterdir()} == {"empty.db", "x.yaml"}
    assert (tmp_path / "empty.db").stat().st_size == 0


@pytest.mark.slow
def test_a_store_that_was_moved_is_said_to_be(made, tmp_path, capsys):
    folder, session = made
    old, new = tmp_path / "old", tmp_path / "new"
    sync(session.record, f"sqlite:///{old}/mlflow.db", [])
    old.rename(new)
    with pytest.raises(
        UserError,
        match=(
            f"was moved: its artifacts are to lie in {old}/artifacts, which is not there; move the"
        ),
    ):
        sync(session.record, f"sqlite:///{new}/mlflow.db", [])
    sync_command(
        "x", to=f"sqlite:///{tmp_path}/copy/mlflow.db", source=f"sqlite:///{new}/mlflow.db"
    )
    told = (
        f"ablab: no artifacts were copied: those of sqlite:///{new}/mlflow.db should lie in "
        f"{old}/artifacts, which is not there\n"
    )
    assert capsys.readouterr().err == told
    check_whole(shown(f"sqlite:///{tmp_path}/copy/mlflow.db"), folder / "home")
    assert not old.exists()


def test_what_is_in_the_trash_of_mlflow_is_said_or_written_again(made, tmp_path):
    from mlflow import MlflowClient

    folder, session = made
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    sync(session.record, uri, [])
    client, found = MlflowClient(uri), shown(uri)
    client.delete_run(next(iter(found.children.values())).info.run_id)
    sync(session.record, uri, [])
    check_whole(shown(uri), folder / "home")
    client.delete_run(found.parent.info.run_id)
    sync(session.record, uri, [])
    store = open_store(uri, tmp_path)
    (parent,) = find_parents(store, "x")
    assert len(find_children(store, parent.info.run_id)) == len(found.children)
    client.delete_experiment(found.parent.info.experiment_id)
    told = (
        "the experiment 'ablab' is in the trash of sqlite:.*: `mlflow experiments restore -x 1` "
        "with MLFLOW_TRACKING_URI"
    )
    for ask in (
        lambda: sync(session.record, uri, []),
        lambda: _page(Home(tmp_path, tmp_path), uri, "http://server", session.record),
    ):
        with pytest.raises(UserError, match=told):
            ask()


def test_a_source_that_goes_away_is_named_in_the_middle_of_a_copy(made, tmp_path, monkeypatch):
    folder, _ = made
    source, target = local(folder), f"sqlite:///{tmp_path}/copy/mlflow.db"

    def away(client, run, name):
        raise OSError("timed out")

    monkeypatch.setattr("mlflow.MlflowClient.get_metric_history", away)
    with pytest.raises(UserError, match="does not answer") as error:
        sync_command("x", to=target, source=source)
    assert str(error.value).startswith(source)
