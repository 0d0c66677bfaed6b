"""`ablab new-plugin`: what it writes works as it stands."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import environment, results

pytestmark = pytest.mark.system


def test_the_skeleton_passes_its_own_test_and_stands_in_a_study(ablab, tmp_path, study_text):
    result = ablab("new-plugin", "my_idea", "--dir", tmp_path / "ideas")
    assert result.returncode == 0, result.stderr
    assert re.findall(r"  (ablab \w+)", result.stdout) == ["ablab check", "ablab inspect"]
    for line in re.findall(r"(?m)^  ablab .*$", result.stdout):
        assert ablab(*shlex.split(line)[1:]).returncode == 0, line
    assert sorted(p.name for p in (tmp_path / "ideas").glob("*.py")) == [
        "my_idea.py",
        "test_my_idea.py",
    ]
    tested = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            "test_my_idea.py",
        ],
        cwd=tmp_path / "ideas",
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert tested.returncode == 0, tested.stdout
    assert "7 passed" in tested.stdout
    inspected = ablab(
        "inspect", "gpt2 + my_idea(slope=2)", "--plugins", tmp_path / "ideas", "--layers", "1"
    )
    assert inspected.returncode == 0, inspected.stderr
    study = study_text.replace("to: llama", "to: gpt2 + my_idea(slope=2)").replace(
        "leave_one_out", "compare"
    )
    (tmp_path / "x.yaml").write_text(study.replace("seeds: 2", "seeds: 1"))
    planned = ablab("plan", "x.yaml", "--plugins", tmp_path / "ideas", "--json")
    assert planned.returncode == 0, planned.stderr
    (part,) = json.loads(planned.stdout)["parts"]
    base, mine = part["arms"]
    assert set(mine["plugins"]) - set(base["plugins"]) == {"my_idea(slope=2.0)"}
    done = ablab(
        "run",
        "x.yaml",
        "--plugins",
        tmp_path / "ideas",
        "--home",
        tmp_path / "home",
        "--workers",
        1,
    )
    assert done.returncode == 0, done.stderr
    (first, _), (second, _) = results(tmp_path / "home").values()
    assert first["val/bpb"] != second["val/bpb"]


def test_bad_names_and_files_that_are_there_are_refused(ablab, tmp_path):
    for name, message in (
        ("MyIdea", "did you mean 'my_idea'?"),
        ("rope", "is taken"),
        ("class", "is no name"),
        ("2x", "is no name"),
    ):
        result = ablab("new-plugin", name, "--dir", tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert message in result.stderr
    (tmp_path / "test_mine.py").write_text("mine")
    result = ablab("new-plugin", "mine", "--dir", tmp_path)
    assert result.returncode == 2
    assert [p.name for p in tmp_path.iterdir()] == ["test_mine.py"]
