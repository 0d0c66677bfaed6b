"""Studies that are cut off, and go on to the same numbers."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import STUDY, command, environment, results

pytestmark = pytest.mark.system

LONG = {
    "leave_one_out": "compare",
    "steps: 4": "steps: 600",
    "seeds: 2": "seeds: 2\ncheckpoint_seconds: 0.1",
}


@pytest.fixture(scope="module")
def long_study(tmp_path_factory, corpus):
    """Four runs of seconds each, with a checkpoint every tenth of a second."""
    text = STUDY.format(corpus=corpus)
    for old, new in LONG.items():
        text = text.replace(old, new)
    file = tmp_path_factory.mktemp("long") / "x.yaml"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def uninterrupted(long_study):
    """What the four runs come to. Always two workers: how many threads a sum is split over moves
    its last digits.
    """
    home = long_study.parent / "whole"
    subprocess.run(
        command("run", long_study, "--home", home, "--workers", 2),
        check=True,
        capture_output=True,
        env=environment(),
    )
    return results(home)


def start(*arguments, cwd):
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def until(condition, seconds=120):
    """What `condition` gives once it holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def alive(session: int) -> list[int]:
    """Processes of a session that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("group", [True, False], ids=["everything", "driver"])
def test_a_study_killed_in_the_middle_ends_with_the_same_numbers(
    ablab, long_study, uninterrupted, tmp_path, group
):
    home = tmp_path / "home"
    process = start("run", long_study, "--home", home, "--workers", 2, cwd=tmp_path)
    until(lambda: list(home.glob("runs/*/checkpoint.ckpt")))
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list(home.glob("runs/*/result.json"))) < 4
    until(lambda: not alive(process.pid), 30)  # workers end by themselves
    again = ablab("run", long_study, "--home", home, "--workers", 2)
    assert again.returncode == 0, again.stderr
    assert results(home) == uninterrupted
    assert not list(home.glob("runs/*/lease.json"))


def test_ctrl_c_writes_checkpoints_and_ends_with_130(ablab, long_study, uninterrupted, tmp_path):
    home = tmp_path / "home"
    process = start("run", long_study, "--home", home, "--workers", 2, cwd=tmp_path)
    until(lambda: list(home.glob("runs/*/progress.json")))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopping" in output
    assert "Traceback" not in output
    assert list(home.glob("runs/*/checkpoint.ckpt"))
    until(
        lambda: not alive(process.pid), 10
    )  # the last helper process ends a moment after its parent
    assert ablab("run", long_study, "--home", home, "--workers", 2).returncode == 0
    assert results(home) == uninterrupted


def test_two_drivers_train_nothing_twice(long_study, uninterrupted, tmp_path):
    home = tmp_path / "home"
    both = [
        start("run", long_study, "--home", home, "--workers", 2, cwd=tmp_path) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert results(home) == uninterrupted
    (executions,) = home.glob("studies/x/*.executions")
    trained = [json.loads(line)["trained"] for line in executions.read_text().splitlines()]
    assert sum(trained) == 4


def test_sigterm_to_the_whole_group_writes_checkpoints_and_ends_with_143(long_study, tmp_path):
    home = tmp_path / "home"
    process = start("run", long_study, "--home", home, "--workers", 2, cwd=tmp_path)
    until(lambda: list(home.glob("runs/*/progress.json")))
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert list(home.glob("runs/*/checkpoint.ckpt"))
    assert not list(home.glob("runs/*/failure.json"))
    until(
        lambda: not alive(process.pid), 10
    )  # the last helper process ends a moment after its parent
