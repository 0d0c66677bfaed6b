"""The compose file fits the script that it starts, and holds no password."""

import re

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


def test_nothing_makes_the_folder_a_package():
    assert not (FOLDER / "__init__.py").exists()
