"""What a study's `hardware` makes of a machine that is not there."""

import pytest

from ablab.arch.compose import Composite
from ablab.arch.expression import resolve
from ablab.arch.model import composite
from ablab.errors import UserError
from ablab.study.hardware import Hardware

SIZES = {"layers": 1, "width": 16, "heads": 2, "vocab": 32, "context": 16}


@pytest.fixture
def value(registry):
    return lambda expression: composite(resolve(expression, registry), Composite(), SIZES)


def test_auto_is_refused_where_it_would_divide_what_an_optimizer_needs_whole(value, monkeypatch):
    monkeypatch.setattr(Hardware, "_memory", lambda self: 100_000)
    assert Hardware(devices=2).layout(10_000)[0].strategy == "fsdp"
    Hardware(devices=2).check(value("llama"))
    Hardware(devices=2, strategy="ddp").check(value("llama + muon"))
    with pytest.raises(UserError, match="needs whole weights, which strategy fsdp divides: take strategy ddp"):
        Hardware(devices=2).check(value("llama + muon"))


def test_more_workers_than_gpus_share_them_evenly_and_a_cpu_study_sees_none(monkeypatch):
    monkeypatch.setattr(Hardware, "gpus", lambda self: [] if self.accelerator == "cpu" else ["3", "5", "7"])
    assert Hardware(devices=2).shares() == ["3,5"]
    assert Hardware(devices=2).division(None, runs=8)[0] == 1
    assert Hardware(devices=2).division(4, runs=8)[0] == 4
    assert Hardware().shares() == ["3", "5", "7"]
    assert Hardware(accelerator="cpu", devices=2).shares() == [""]
