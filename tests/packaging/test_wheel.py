"""The package as strangers get it: a wheel in an empty environment, used outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1200)]  # it downloads what the lab needs


@pytest.fixture(scope="module")
def binaries(tmp_path_factory) -> Path:
    """The folder of commands of an environment that has the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # pip builds in the folder
    for name in ("ablab", "plugins", "studies"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source], check=True
    )
    (wheel,) = folder.glob("ablab-*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    commands = folder / "environment" / "bin"
    subprocess.run(
        [commands / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel], check=True
    )
    shutil.rmtree(source)
    return commands


@pytest.fixture
def ablab(binaries, tmp_path):
    """Runs the installed command in an empty folder."""

    def run(*arguments):
        return subprocess.run(
            [binaries / "ablab", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLUMNS": "80"},
            check=False,
        )

    return run


def test_the_environment_has_no_tools_of_development(binaries):
    for module in ("pytest", "hypothesis"):
        found = subprocess.run(
            [binaries / "python", "-c", f"import {module}"], capture_output=True, check=False
        )
        assert found.returncode == 1, module


def test_the_examples_are_listed_with_their_files(ablab, binaries):
    listed = json.loads(ablab("studies", "--examples", "--json").stdout)
    assert {row["name"] for row in listed} == {file.stem for file in ROOT.glob("studies/*.yaml")}
    for row in listed:
        assert Path(row["file"]).is_relative_to(binaries.parent)
        assert (
            Path(row["file"]).read_text() == (ROOT / "studies" / f"{row['name']}.yaml").read_text()
        )


def test_an_idea_is_checked(ablab):
    assert ablab("new-plugin", "my_idea").returncode == 0
    done = ablab("check", "my_idea.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("no problems\n")


def test_the_doctor_finds_no_problem(ablab):
    done = ablab("doctor")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_flagship_runs_by_name(ablab, tmp_path):
    done = ablab("run", "gpt2_vs_llama", "--profile", "smoke")
    assert done.returncode == 0, done.stderr
    assert "llama vs gpt2" in done.stdout
    assert list(tmp_path.glob(".ablab/reports/*/*.html"))
    assert (tmp_path / "mlflow" / "mlflow.db").exists()


def test_the_demo_says_what_it_is_worth(ablab):
    done = ablab("demo", "--profile", "smoke")
    assert done.returncode == 0, done.stderr
    assert "What this is worth" in done.stdout
