"""The commands that look after studies, on a study at work."""

import json
import os
import re
import signal
import socket
import subprocess
from contextlib import suppress

import pytest

from tests.conftest import command, environment
from tests.processes import start, until
from tests.study_records import write_study

pytestmark = pytest.mark.system


@pytest.fixture
def endless(tmp_path, study_text):
    """Four runs that take minutes each."""
    text = study_text.replace("leave_one_out", "compare").replace("steps: 4", "steps: 100000")
    (tmp_path / "x.yaml").write_text(text + "checkpoint_seconds: 0.5\n")
    return tmp_path


@pytest.fixture
def begin(endless):
    """Starts a command that is killed, with all that it started, at the end of the test."""
    begun = []

    def one(*arguments):
        begun.append(start(*arguments, cwd=endless))
        return begun[-1]

    yield one
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def fast(folder):
    """The runs whose speed is known."""
    files = folder.glob(".ablab/runs/*/progress.json")
    return [file for file in files if json.loads(file.read_text())["cost/tokens_per_second"]]


def test_a_study_at_work_is_watched_cancelled_and_removed(ablab, endless, begin):
    driver = begin("run", "x.yaml", "--workers", 2)
    until(lambda: len(fast(endless)) == 2)
    told = json.loads(ablab("status", "x", "--json").stdout)
    assert (told["runs"]["total"], told["runs"]["running"], told["runs"]["waiting"]) == (4, 2, 2)
    assert all(
        run["where"].partition(":")[2].isdigit() and 0 < run["share"] < 1 for run in told["running"]
    )
    assert told["seconds_left"] > 0
    assert "0 of 4 runs done, 2 running, 2 waiting; about" in ablab("status", "x.yaml").stdout
    watching = begin("status", "x", "--watch")
    while "2 running, 2 waiting" not in (line := watching.stdout.readline()):
        assert line  # it is still watching
    for arguments in (["x", "--yes"], [told["running"][0]["key"], "--yes"]):
        refused = ablab("rm", *arguments)
        assert refused.returncode == 2
        assert (
            f"study x is being run by process {driver.pid} on {socket.gethostname()}: let it "
            "end, or"
        ) in refused.stderr
    assert "asked 2 runs under way and 2 runs waiting to stop" in ablab("cancel", "x").stdout
    output, _ = driver.communicate(timeout=100)
    assert driver.returncode == 0, output
    assert "4 runs were cancelled; `ablab run` resumes them" in output
    seen, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert "0 of 4 runs done, 4 cancelled" in seen
    assert len(list(endless.glob(".ablab/runs/*/checkpoint.ckpt"))) == 2
    key = next(endless.glob(".ablab/runs/*/checkpoint.ckpt")).parent.name
    assert "to be tried again: 1 run," in ablab("retry", key[:8]).stdout
    assert "0 of 4 runs done, 1 waiting, 3 cancelled" in ablab("status", "x").stdout
    (listed,) = json.loads(ablab("studies", "--json").stdout)
    assert (listed["study"], listed["runs"], listed["finished"], listed["failed"]) == ("x", 4, 0, 0)
    assert re.search(
        r"x  revision \w+  0/4 runs  last run \d{4}-\d\d-\d\d .*Does any", ablab("studies").stdout
    )
    asked = ablab("rm", "x")
    assert asked.returncode == 2
    assert "give --yes" in asked.stderr
    assert list(endless.glob(".ablab/runs/*/checkpoint.ckpt"))
    removed = ablab("rm", "x", "--yes")
    assert re.search(r"removed study x with its reports, 4 runs: [\d.]+ [kM]B", removed.stdout)
    assert not list(endless.glob(".ablab/runs/*"))
    assert "no study has been run" in ablab("studies").stdout


@pytest.mark.parametrize("name", ["status", "cancel", "retry", "rm"])
def test_unknown_targets(tmp_path, name):
    write_study(tmp_path, "flagship", [])
    arguments = command(name, "flagshp", "--home", tmp_path)
    result = subprocess.run(
        arguments, capture_output=True, text=True, env=environment(), check=False, cwd=tmp_path
    )
    assert result.returncode == 2
    assert "no study named 'flagshp' (did you mean 'flagship'?)" in result.stderr
