"""Arms are checked before they are trained, and fail alone while they are."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ablab.cli import app
from tests.cli.test_interrupts import alive, long_study, start, uninterrupted, until
from tests.conftest import command, environment, results

__all__ = ["long_study", "uninterrupted"]

PLUGIN = '''
"""A plugin that sees the future, and one that ends its process after two steps."""
import os
from dataclasses import dataclass
import torch
from torch import nn
from ablab.plugin import Activation, Edit, plugin

class Leaky(nn.Module):
    def forward(self, x):
        return torch.relu(x) + 0.5 * x.roll(-1, dims=1)

class Ending(nn.Module):
    steps = 0
    def forward(self, x):
        if x.requires_grad and x.shape[0] > 2:
            self.steps += 1
            if self.steps > 2:
                os._exit(0)
        return torch.relu(x)

@dataclass(frozen=True)
class FaultyActivation(Activation):
    kind: str
    def build(self):
        return Leaky() if self.kind == "leaky" else Ending()

@plugin(source="a test")
class Future:
    """Sees the next token."""
    def edit(self) -> Edit:
        return {"mlp.activation": FaultyActivation("leaky")}

@plugin(source="a test")
class Ends:
    """Ends its process."""
    def edit(self) -> Edit:
        return {"mlp.activation": FaultyActivation("ends")}
'''


@pytest.fixture
def study(tmp_path, study_text):
    """Write a study that compares gpt2 with an arm, and return the command's arguments."""
    (tmp_path / "ideas").mkdir()
    (tmp_path / "ideas" / "faulty.py").write_text(PLUGIN)

    def write(arm):
        text = study_text.replace("from: gpt2\nto: llama\n", f"arms: {{base: gpt2, mine: {arm}}}\n")
        text = text.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 1")
        (tmp_path / "x.yaml").write_text(text)
        return ("run", "x.yaml", "--plugins", "ideas", "--home", "home", "--workers", 1)

    return write


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command in this process, whose fork server imports torch once for all tests."""

    def command(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ablab", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        output, errors = capsys.readouterr()
        return ended.value.code or 0, output, errors

    return command


@pytest.mark.slow
def test_an_arm_that_sees_the_future_is_refused_before_training(run, study, tmp_path):
    arguments = study("gpt2 + future")
    status, _, errors = run(*arguments)
    assert status == 2
    assert errors == (
        "ablab: arm 'mine' is refused before training: token 1 changes an earlier logit (its "
        "plugins: future; `--skip-checks` trains it nevertheless)\n"
    )
    assert not (tmp_path / "home").exists()
    status, output, errors = run(*arguments, "--skip-checks")
    assert status == 0, output + errors
    assert "--skip-checks" in run("report", "x", "--home", "home")[1]
    (record,) = (tmp_path / "home" / "studies" / "x").glob("*.json")
    assert json.loads(record.read_text())["sources"]["checked"] is False


@pytest.mark.slow
def test_an_arm_that_ends_its_process_fails_alone(run, study, tmp_path):
    status, output, errors = run(*study("gpt2 + ends"))
    assert status == 1, output + errors
    line = "mine · seed 1: failed: it calls os._exit(0) (plugin ends, future, ideas/faulty.py:"
    assert line in output
    assert "Traceback" not in output + errors
    assert "1 of 2 runs failed" in errors
    status, output, errors = run(
        "run", "x.yaml", "arms.mine=gpt2", "--home", "alone", "--workers", 1
    )
    assert status == 0, output + errors
    assert list(results(tmp_path / "home").values()) == list(results(tmp_path / "alone").values())


@pytest.mark.system
def test_sigterm_to_every_process_of_the_job_loses_nothing(
    ablab, long_study, uninterrupted, tmp_path
):
    home = tmp_path / "home"
    arguments = ("run", long_study, "checkpoint_seconds=1000", "--home", home, "--workers", 2)
    process = start(*arguments, cwd=tmp_path)
    until(lambda: len(list(home.glob("runs/*/progress.json"))) == 2)
    time.sleep(1.0)
    everything = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(True))]
    for pid in everything:
        psutil.Process(pid).send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "died" not in output
    assert len(list(home.glob("runs/*/checkpoint.ckpt"))) == 2
    assert not list(home.glob("runs/*/attempts.jsonl"))
    until(lambda: not alive(process.pid), 10)
    again = ablab(*arguments)
    assert again.returncode == 0, again.stderr
    assert results(home) == uninterrupted


@pytest.mark.system
def test_one_core_and_one_worker_go_on_to_the_same_numbers(long_study, uninterrupted, tmp_path):
    home = tmp_path / "home"
    process = start("run", long_study, "--home", home, "--workers", 2, cwd=tmp_path)
    until(lambda: len(list(home.glob("runs/*/checkpoint.ckpt"))) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    again = subprocess.run(
        ["taskset", "-c", "0", *command("run", long_study, "--home", home, "--workers", 1)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert results(home) == uninterrupted
