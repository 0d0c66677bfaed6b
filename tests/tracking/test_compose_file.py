"""The compose file fits the script that it starts, and holds no password."""

import os
import re
import subprocess
from configparser import ConfigParser

from ruamel.yaml import YAML

from tests.conftest import ROOT

FOLDER = ROOT / "mlflow"


def test_it_gives_the_script_all_that_it_demands_and_passwords_come_from_the_environment():
    services = YAML(typ="safe").load(FOLDER / "compose.yaml")["services"]
    script, given = (FOLDER / "serve").read_text(), services["server"]["environment"]
    demanded = set(re.findall(r"\$\{(\w+):\?\}", script))
    assert len(demanded) == 6
    assert demanded <= set(given)
    assert set(given) <= set(re.findall(r"MLFLOW_\w+", script))
    for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
        assert given[name].startswith(f"${{{name}:?")
    assert services["database"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    wanted = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    example = dict(line.split("=", 1) for line in (FOLDER / "env.example").read_text().splitlines() if line[:1] not in ("#", ""))
    assert example == dict.fromkeys(wanted, "")


def test_the_script_keeps_its_settings_private_in_one_file_and_a_percent_sign_stands_for_itself(tmp_path):
    server = tmp_path / "python"  # stands for MLflow: says where its settings are
    server.write_text('#!/bin/sh\necho "$MLFLOW_AUTH_CONFIG_PATH"\n')
    server.chmod(0o755)
    address = "postgresql+psycopg://mlflow:a%40b%25c@127.0.0.1/users"
    given = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "MLFLOW_PYTHON": str(server),
        "MLFLOW_DATABASE": "x", "MLFLOW_AUTH_DATABASE": address, "MLFLOW_ARTIFACTS": "x", "MLFLOW_ALLOWED_HOSTS": "x",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "x", "MLFLOW_FLASK_SERVER_SECRET_KEY": "x", "MLFLOW_AUTH_ADMIN_USERNAME": "a%d",
    }  # fmt: skip
    for _ in range(2):
        run = subprocess.run([FOLDER / "serve"], env=given, capture_output=True, text=True, check=True)
        (settings,) = [file for file in tmp_path.iterdir() if file != server]
        assert run.stdout.strip() == str(settings)
        assert settings.stat().st_mode & 0o777 == 0o600
        read = ConfigParser()  # as MLflow reads it
        read.read(settings)
        assert read["mlflow"]["database_uri"] == address
        assert read["mlflow"]["admin_username"] == "a%d"
        settings.chmod(0o644)


def test_nothing_makes_the_folder_a_package():
    assert not (FOLDER / "__init__.py").exists()
