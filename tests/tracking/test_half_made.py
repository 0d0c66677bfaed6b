"""Stores whose creation was interrupted: none is left, and one that is found is made anew."""

import os
import signal
import time
from contextlib import suppress

import pytest

from ablab.tracking.mlflow.connection import connect
from ablab.tracking.mlflow.errors import NoStore
from ablab.tracking.mlflow.sqlite_file import is_half_made, make_store

# MLflow's and SQLAlchemy's own warnings.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.system]
SIZES = [
    1,
    150_000,
    *(pytest.param(size, marks=pytest.mark.soak) for size in range(2, 700_000, 25_000)),
]


def create_in_place(file):
    """Create a store as MLflow does by itself."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{file}", "mlruns")


def killed(create, file, written, size):
    """Call `create(file)` in a process that is killed once `written` has more than `size` bytes."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    child = os.fork()
    if not child:
        with suppress(BaseException):
            create(file)
        os._exit(0)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            if written.stat().st_size > size:
                break
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("size", SIZES)
def test_a_kill_during_the_creation_leaves_no_half_made_store(tmp_path, size):
    file = tmp_path / "mlflow.db"
    assert killed(make_store, file, tmp_path / ".mlflow.db.draft", size)
    assert not file.exists()
    assert connect(f"sqlite:///{file}").get_experiment("0").name == "Default"
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


@pytest.mark.parametrize("size", SIZES)
def test_a_half_made_store_is_set_aside_in_a_line_and_made_anew(tmp_path, caplog, size):
    file = tmp_path / "mlflow.db"
    assert killed(create_in_place, file, file, size)
    assert is_half_made(file)
    with pytest.raises(NoStore, match="there is no MLflow store in"):
        connect(f"sqlite:///{file}", make=False)
    content = file.read_bytes()
    assert connect(f"sqlite:///{file}").get_experiment("0").name == "Default"
    lines = [record.message for record in caplog.records if record.name.startswith("ablab")]
    if not content:  # killed in the first transaction
        assert lines == []
        return
    aside = tmp_path / "mlflow.db.half-made"
    assert lines == [
        f"{file}: its creation was interrupted; it is set aside as {aside.name}, and made anew"
    ]
    assert aside.read_bytes() == content


def test_a_store_with_something_in_it_is_never_set_aside(tmp_path):
    file = tmp_path / "mlflow.db"
    make_store(file)
    assert not is_half_made(file)
    before = file.stat().st_ino
    make_store(file)
    assert file.stat().st_ino == before
    (tmp_path / "empty.db").touch()
    assert is_half_made(tmp_path / "empty.db")
    make_store(tmp_path / "empty.db")
    assert not is_half_made(tmp_path / "empty.db")
