"""Workers that die, hang or are killed at any moment, in real processes: the numbers come out the
same.
"""

import json
import os
import random
import signal
import time

import psutil
import pytest

from tests.cli.test_interrupts import alive
from tests.conftest import results
from tests.processes import start, until

pytestmark = pytest.mark.system

ONCE = '''
"""Plugins whose model hangs, or kills its process, the first time it sees a real batch."""
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from torch import nn
from ablab.plugin import Activation, plugin

FOLDER = Path({folder!r})

def hang():
    while True:
        time.sleep(1)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Once(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        if x.device.type != "meta" and not (FOLDER / self.name).exists():
            (FOLDER / self.name).touch()
            {{"hang": hang, "die": die}}[self.name]()
        return x * x

@dataclass(frozen=True)
class Bad(Activation):
    name: str
    def build(self):
        return Once(self.name)

@plugin(source="a test")
class Hang:
    """Hangs once."""
    def edit(self):
        return {{"mlp.activation": Bad("hang")}}

@plugin(source="a test")
class Die:
    """Dies once."""
    def edit(self):
        return {{"mlp.activation": Bad("die")}}
'''


@pytest.fixture
def once(tmp_path, study_text):
    """The command that runs a study of one seed. A file named after what was done once appears in
    the folder.
    """
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "once.py").write_text(ONCE.format(folder=str(tmp_path)))
    text = study_text.replace(
        "from: gpt2\nto: llama\n", "arms: {base: gpt2, hung: gpt2 + hang, killed: gpt2 + die}\n"
    )
    (tmp_path / "x.yaml").write_text(
        text.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 1")
    )
    return ("run", "x.yaml", "--plugins", "more", "--home", "home", "--workers", 2, "--skip-checks")


def attempts(home):
    """The reasons of failed attempts, by arm."""
    told = {}
    for spec in home.glob("runs/*/spec.json"):
        file = spec.with_name("attempts.jsonl")
        rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        told[json.loads(spec.read_text())["arm"]] = [row["reason"] for row in rows]
    return told


def test_a_hung_and_a_killed_worker_cost_an_attempt_each(ablab, once, tmp_path):
    result = ablab(*once, "stall_seconds=25")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "hang").exists()
    assert (tmp_path / "die").exists()
    assert attempts(tmp_path / "home") == {
        "base": [],
        "hung": ["no progress for 25 s"],
        "killed": ["the worker process died (killed by SIGKILL: was memory short?)"],
    }
    assert result.stdout.count("it is tried again") == 2
    assert len(results(tmp_path / "home")) == 3
    assert not list((tmp_path / "home").glob("runs/*/lease.json"))


def test_without_retries_a_killed_worker_is_a_failed_run(ablab, once, tmp_path):
    result = ablab(*once, "retries=0", "arms.hung=null")
    assert result.returncode == 1
    assert "1 of 2 runs failed" in result.stderr
    shown = ablab("status", "x", "--home", "home").stdout
    assert "1 of 2 runs done, 1 failed" in shown
    assert "failed: killed · seed 1: the worker process died (killed by SIGKILL" in shown.replace(
        "\n", " "
    )
    again = ablab(*once, "retries=0", "arms.hung=null")
    assert again.returncode == 0, again.stderr


def test_a_second_ctrl_c_ends_now_and_the_next_run_goes_on(ablab, once, tmp_path):
    process = start(*once, "arms.killed=null", cwd=tmp_path)
    until(lambda: (tmp_path / "hang").exists() and list(tmp_path.glob("home/runs/*/result.json")))
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(3)
    assert process.poll() is None  # the hung run never gets to the end of its step
    os.killpg(process.pid, signal.SIGINT)
    begun = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - begun < 15
    assert process.returncode == 130, output
    assert "Traceback" not in output
    until(lambda: not alive(process.pid), 10)
    again = ablab(*once, "arms.killed=null")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(results(tmp_path / "home")) == 2


def workers(driver):
    """The driver's workers: children of its fork server."""
    try:
        return [
            worker
            for child in psutil.Process(driver.pid).children()
            if any("forkserver" in part for part in child.cmdline())
            for worker in child.children()
        ]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@pytest.mark.soak  # tests/execute/test_load.py kills workers at random moments each time
@pytest.mark.parametrize("seed", range(20, 27))
def test_kills_at_random_moments_change_no_number(ablab, long_study, uninterrupted, tmp_path, seed):
    home, chance = tmp_path / "home", random.Random(seed)
    command = ("run", long_study, "retries=9", "--home", home, "--workers", 2)
    finished, kills, end = {}, [], time.monotonic() + 45

    def look():
        for file in home.glob("runs/*/result.json"):
            stat = file.stat()
            assert finished.setdefault(file, (stat.st_ino, stat.st_mtime_ns)) == (
                stat.st_ino,
                stat.st_mtime_ns,
            )

    while len(finished) < 4 and len(kills) < 6 and time.monotonic() < end:
        driver = start(*command, cwd=tmp_path)
        until(lambda driver=driver: workers(driver) or driver.poll() is not None)
        while driver.poll() is None:
            time.sleep(chance.uniform(1.0, 8.0))
            look()
            victims = workers(driver)
            if chance.random() < 0.6 and victims:
                chance.choice(victims).kill()
                kills.append("worker")
            else:
                driver.kill()
                kills.append("driver")
                break
        driver.communicate()
        until(lambda driver=driver: not alive(driver.pid), 30)
    assert kills
    last = ablab(*command)
    assert last.returncode == 0, last.stderr
    look()
    assert results(home) == uninterrupted
    assert not list(home.glob("runs/*/lease.json"))
