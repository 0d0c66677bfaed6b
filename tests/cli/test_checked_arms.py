"""Arms are checked before they are trained, and fail alone while they are."""

import json

import pytest

from tests.conftest import results

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


def test_an_arm_that_sees_the_future_is_refused_before_training(ablab, study, tmp_path):
    arguments = study("gpt2 + future")
    refused = ablab(*arguments)
    assert refused.returncode == 2
    assert refused.stderr == (
        "ablab: arm 'mine' is refused before training: token 1 changes an earlier logit (its "
        "plugins: future; `--skip-checks` trains it nevertheless)\n"
    )
    assert not (tmp_path / "home").exists()
    trained = ablab(*arguments, "--skip-checks")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "--skip-checks" in ablab("report", "x", "--home", "home").stdout
    (record,) = (tmp_path / "home" / "studies" / "x").glob("*.json")
    assert json.loads(record.read_text())["sources"]["checked"] is False


def test_an_arm_that_ends_its_process_fails_alone(ablab, study, tmp_path):
    failed = ablab(*study("gpt2 + ends"))
    assert failed.returncode == 1, failed.stdout + failed.stderr
    line = "mine · seed 1: failed: it calls os._exit(0) (plugin ends, future, ideas/faulty.py:"
    assert line in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "1 of 2 runs failed" in failed.stderr
    alone = ablab("run", "x.yaml", "arms.mine=gpt2", "--home", "alone", "--workers", 1)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert list(results(tmp_path / "home").values()) == list(results(tmp_path / "alone").values())
