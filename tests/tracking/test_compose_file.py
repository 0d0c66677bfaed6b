"""The compose file fits the script that it starts, and holds no password."""

import os
import re
import subprocess
from configparser import ConfigParser

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

FOLDER = ROOT / "mlflow"


def test_it_gives_the_script_all_that_it_demands_and_passwords_come_from_the_environment():
    services = YAML(typ="safe").load(FOLDER / "compose.yaml")["services"]
    script, given = (FOLDER / "serve").read_text(), services["server"]["environment"]
    demanded = set(re.findall(r"\$\{(\w+):\?\}", script))
    assert len(demanded) == 6
    optional = set(re.findall(r"\$\{(MLFLOW_\w+):-", script)) - {
        "MLFLOW_PORT",
        "MLFLOW_PYTHON",
    }  # the container's own
    assert set(given) == demanded | optional
    for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
        assert given[name].startswith(f"${{{name}:?")
    assert services["database"]["environment"]["POSTGRES_PASSWORD"].startswith(
        "${POSTGRES_PASSWORD:?"
    )
    wanted = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    lines = (FOLDER / "env.example").read_text().splitlines()
    may_be_set = set(re.findall(r"\$\{(\w+):-", (FOLDER / "compose.yaml").read_text()))
    assert {
        line[1:].split("=")[0] for line in lines if line[:1] == "#" and line[1:2] != " "
    } == may_be_set
    example = dict(line.split("=", 1) for line in lines if line[:1] not in ("#", ""))
    assert example == dict.fromkeys(wanted, "")


def started(folder, told, more):
    """What the script tells the server, which `python` in `folder` stands for: it says `told`, each
    in a line.
    """
    server = folder / "python"
    server.write_text(f"#!/bin/sh\nprintf '%s\\n' {told}\n")
    server.chmod(0o755)
    demanded = dict.fromkeys(re.findall(r"\$\{(\w+):\?\}", (FOLDER / "serve").read_text()), "x")
    own = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "MLFLOW_PYTHON": str(server),
    }
    run = subprocess.run(
        [FOLDER / "serve"],
        env={**demanded, **own, **more},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()


def test_the_script_keeps_its_settings_private_in_one_file_and_a_percent_sign_stands_for_itself(
    tmp_path,
):
    address = "postgresql+psycopg://mlflow:a%40b%25c@127.0.0.1/users"
    for _ in range(2):
        more = {"MLFLOW_AUTH_DATABASE": address, "MLFLOW_AUTH_ADMIN_USERNAME": "a%d"}
        told = started(tmp_path, '"$MLFLOW_AUTH_CONFIG_PATH"', more)
        (settings,) = [file for file in tmp_path.iterdir() if file.name != "python"]
        assert told == [str(settings)]
        assert settings.stat().st_mode & 0o777 == 0o600
        read = ConfigParser()  # as MLflow reads it
        read.read(settings)
        assert read["mlflow"]["database_uri"] == address
        assert read["mlflow"]["admin_username"] == "a%d"
        settings.chmod(0o644)


@pytest.mark.parametrize(
    ("hosts", "more", "origins"),
    [
        (
            "a.org:5000, b.org",
            {},
            "http://a.org:5000,https://a.org:5000,http://b.org,https://b.org",
        ),
        (
            "*.a.org,b.org",
            {},
            "http://b.org,https://b.org",
        ),  # a pattern would let more pages in than are meant
        ("*", {}, ""),
        ("a.org", {"MLFLOW_ALLOWED_ORIGINS": "https://c.org"}, "https://c.org"),
        ("a.org", {"MLFLOW_ALLOWED_ORIGINS": ""}, "http://a.org,https://a.org"),
    ],
)
def test_the_servers_names_are_the_origins_of_its_pages(hosts, more, origins, tmp_path):
    told = started(tmp_path, '"$@"', {"MLFLOW_ALLOWED_HOSTS": hosts, **more})
    assert told[told.index("--cors-allowed-origins") + 1] == origins
    assert told[told.index("--allowed-hosts") + 1] == hosts


def test_nothing_makes_the_folder_a_package():
    assert not (FOLDER / "__init__.py").exists()
