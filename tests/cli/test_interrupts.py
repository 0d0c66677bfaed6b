"""Studies that are cut off, and go on to the same numbers."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.conftest import results
from tests.processes import start, until

pytestmark = pytest.mark.system


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


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(True, id="everything", marks=pytest.mark.soak),
        pytest.param(False, id="driver"),
    ],
)
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


def test_ctrl_c_writes_checkpoints_and_one_worker_goes_on(
    ablab, long_study, uninterrupted, tmp_path
):
    home = tmp_path / "home"
    process = start("run", long_study, "--home", home, "--workers", 2, cwd=tmp_path)
    until(lambda: len(list(home.glob("runs/*/progress.json"))) == 2)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopping" in output
    assert "Traceback" not in output
    assert list(home.glob("runs/*/checkpoint.ckpt"))
    until(lambda: not alive(process.pid), 10)  # the last helper ends a moment after its parent
    again = ablab("run", long_study, "--home", home, "--workers", 1)
    assert again.returncode == 0, again.stderr
    assert results(home) == uninterrupted


@pytest.mark.soak  # tests/cli/test_shared.py has two drivers of more complicated studies
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


def test_sigterm_to_every_process_of_the_job_loses_nothing(
    ablab, long_study, uninterrupted, tmp_path
):
    home = tmp_path / "home"
    arguments = ("run", long_study, "checkpoint_seconds=1000", "--home", home, "--workers", 2)
    process = start(*arguments, cwd=tmp_path)
    until(lambda: len(list(home.glob("runs/*/progress.json"))) == 2)
    everything = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(True))]
    for pid in everything:
        psutil.Process(pid).send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "died" not in output
    assert len(list(home.glob("runs/*/checkpoint.ckpt"))) == 2
    for name in ("failure.json", "attempts.jsonl"):
        assert not list(home.glob(f"runs/*/{name}"))
    until(lambda: not alive(process.pid), 10)  # the last helper ends a moment after its parent
    again = ablab(*arguments)
    assert again.returncode == 0, again.stderr
    assert results(home) == uninterrupted
