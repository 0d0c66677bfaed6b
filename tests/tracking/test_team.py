"""A server that a team shares, started as mlflow/README.md says: PostgreSQL, basic auth, a check of
host names.
"""

import base64
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest

from ablab.cli.sync import sync as sync_command
from ablab.errors import UserError
from ablab.tracking.mlflow.children import NewChild, create_child, find_children
from ablab.tracking.mlflow.store import open_store
from tests import postgres
from tests.conftest import ROOT
from tests.processes import free_port
from tests.tracking.servers import started
from tests.tracking.stores import carry_out, check_whole, compare, shown

ADMIN, MEMBER, DATABASE = (
    "admin-not-to-be-seen-1",
    "member-not-to-be-seen-2",
    "database-not-to-be-seen-3",
)
NAME = "mlflow.example.org"  # behind a proxy with TLS

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own warnings
    pytest.mark.skipif(postgres.binaries() is None, reason="no PostgreSQL server is installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("flask_wtf") is None, reason="mlflow[auth] is not installed"
    ),
]


def ask(port, method, path, body=None, *, user="admin", password=ADMIN, **more):
    """The status of an answer, and its text; `more` headers."""
    headers = {"Content-Type": "application/json", "Host": f"127.0.0.1:{port}", **more}
    if user:
        headers["Authorization"] = (
            "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        )
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def connected(address):
    """A connection to the database: it may still be starting, though its port is open."""
    end = time.monotonic() + 60
    while True:
        try:
            return psycopg.connect(address.replace("+psycopg", ""), autocommit=True)
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """The server's port, and its folder."""
    folder = Path(tempfile.mkdtemp(prefix="ablab-team-"))  # where PostgreSQL's own user may enter
    where, port = tmp_path_factory.mktemp("server"), free_port()
    try:
        with postgres.server(folder, DATABASE) as address:
            with connected(address) as connection:
                connection.execute((ROOT / "mlflow" / "users.sql").read_text())
            settings = {
                "HOME": str(where),
                "MLFLOW_PYTHON": sys.executable,
                "MLFLOW_PORT": str(port),
                "MLFLOW_DATABASE": address,
                "MLFLOW_AUTH_DATABASE": address.replace("/postgres", "/users"),
                "MLFLOW_ARTIFACTS": str(where / "artifacts"),
                "MLFLOW_ALLOWED_HOSTS": f"127.0.0.1:{port}, {NAME}",
                "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
                "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret-not-to-be-seen-4",
            }
            with started([str(ROOT / "mlflow" / "serve")], port, where, settings):
                made = ask(
                    port,
                    "POST",
                    "/api/2.0/mlflow/users/create",
                    {"username": "ada", "password": MEMBER},
                )
                assert made[0] == 200, made
                yield port, where
    finally:
        shutil.rmtree(folder)


def as_user(monkeypatch, name, password):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def test_a_study_goes_to_the_teams_server_and_no_password_is_written(
    team, tmp_path, study_text, monkeypatch
):
    port, where = team
    address = f"http://127.0.0.1:{port}"
    (tmp_path / "x.yaml").write_text(compare(study_text, f"tracking: {{uri: '{address}'}}\n"))
    as_user(monkeypatch, "ada", MEMBER)
    session, display = carry_out(tmp_path / "x.yaml", tmp_path / "home")
    assert not [text for text in display.said if "MLflow" in text]
    found = shown(address)
    check_whole(found, tmp_path / "home")
    assert f"{session.record.revision}.html" in found.artifacts
    assert list((where / "artifacts").rglob("*.html"))  # the server keeps them
    sync_command("x", home=tmp_path / "home")  # by name: the home knows the server
    check_whole(shown(address), tmp_path / "home")
    as_user(monkeypatch, "ada", "wrong-not-to-be-seen")
    with pytest.raises(
        UserError, match="refuses this user or password: set MLFLOW_TRACKING_USERNAME"
    ) as error:
        sync_command("x", home=tmp_path / "home")
    written = [file.read_bytes() for file in (tmp_path / "home").rglob("*") if file.is_file()]
    written.append(
        (str(error.value) + "".join(display.said) + (where / "server.log").read_text()).encode()
    )
    assert not [text for text in written if b"not-to-be-seen" in text]


def test_a_second_member_adds_to_what_the_first_made(team, tmp_path, study_text, monkeypatch):
    port, _ = team
    (tmp_path / "y.yaml").write_text(compare(study_text))
    carry_out(tmp_path / "y.yaml", tmp_path / "home")  # on a laptop
    assert (
        ask(port, "POST", "/api/2.0/mlflow/users/create", {"username": "bob", "password": MEMBER})[
            0
        ]
        == 200
    )
    as_user(monkeypatch, "bob", MEMBER)
    address = f"http://127.0.0.1:{port}"
    sync_command("y", to=address, home=tmp_path / "home")
    check_whole(found := shown(address, "y"), tmp_path / "home")
    key, run = next(iter(found.children.items()))
    store = open_store(address, tmp_path)
    parent = found.parent.info.run_id
    create_child(store, parent, NewChild("twin" * 100, key), {}, {})  # which bob may not delete
    assert find_children(store, parent)[key].id == run.info.run_id


def test_who_has_no_password_or_comes_by_another_name_is_refused(team):
    port, _ = team
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(port, "GET", search)[0] == 200
    assert ask(port, "GET", search, user=None)[0] == 401
    assert ask(port, "GET", search, password="wrong-1234567")[0] == 401
    assert ask(port, "GET", search, Host=f"evil.example:{port}")[0] == 403
    assert not [text for text in commands() if "not-to-be-seen" in text]


def test_the_servers_own_pages_may_ask_and_strangers_may_not(team):
    port, _ = team
    search = "/ajax-api/2.0/mlflow/runs/search"  # what the runs table asks
    for origin, status in (
        (f"https://{NAME}", 200),
        (f"http://{NAME}", 200),
        ("https://evil.example", 403),
    ):
        assert (
            ask(port, "POST", search, {"experiment_ids": ["0"]}, Host=NAME, Origin=origin)[0]
            == status
        )


def commands():
    """The command lines of all processes: every user of a machine may read them."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return lines if os.path.exists("/proc") else []
