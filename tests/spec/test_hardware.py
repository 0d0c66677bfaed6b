"""What a study's runs train on: what is picked, how the machine is divided, and what is refused."""

import pytest
import torch
from pydantic import ValidationError

from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import resolve
from ablab.arch.composition.model import composite
from ablab.errors import UserError
from ablab.schedule.factory import make_plan
from ablab.spec import hardware
from ablab.spec.hardware import Hardware
from ablab.spec.study import load_study
from ablab.train.parallel import ParallelLayout

GB = 1 << 30


@pytest.fixture
def machine(monkeypatch):
    """A machine of some GPUs of 10 GB, and some cores."""

    def made(gpus, cores):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(Hardware, "_memory", lambda self: 10 * GB if gpus else None)
        monkeypatch.setattr(hardware, "cores", lambda: cores)

    return made


@pytest.mark.parametrize(
    ("given", "parameters", "layout", "said"),
    [
        ({}, 10**6, ParallelLayout(), "one device"),
        ({"devices": 4}, 10**8, ParallelLayout("ddp", 4), "1.6e+03 MB fit one device"),
        (
            {"devices": 4},
            10**9,
            ParallelLayout("fsdp", 4),
            "1.6e+04 MB do not fit one device",
        ),  # 16 bytes a parameter
        ({"devices": 4, "tensor": 2}, 10**6, ParallelLayout("tensor", 2, 2), "tensor is 2"),
        ({"devices": 4, "strategy": "tensor"}, 10**6, ParallelLayout("tensor", 1, 4), "as asked"),
        (
            {"devices": 4, "strategy": "tensor", "tensor": 1},
            10**6,
            ParallelLayout("ddp", 4),
            "tensor is 1",
        ),
        ({"devices": 2, "strategy": "fsdp"}, 10**6, ParallelLayout("fsdp", 2), "as asked"),
    ],
)
def test_what_is_picked_and_why(machine, given, parameters, layout, said):
    machine(8, 16)
    picked, why = Hardware(**given).layout(parameters)
    assert picked == layout
    assert said in why


@pytest.mark.parametrize(
    ("has", "devices", "threads", "runs", "workers"),
    [
        ((8, 16), 1, 1, 99, 8),
        ((8, 16), 8, 1, 99, 1),
        ((8, 16), 2, 1, 99, 4),
        ((8, 16), 2, 4, 99, 4),  # a worker has its GPUs, whatever the threads
        ((8, 16), 2, 1, 3, 3),
        ((0, 4), 1, 1, 99, 4),
        ((0, 4), 2, 1, 99, 2),
        ((0, 4), 1, 2, 99, 2),
        ((0, 4), 1, 8, 99, 1),
        ((0, 4), 4, 1, 9, 1),
    ],
)
def test_workers(machine, has, devices, threads, runs, workers):
    machine(*has)
    assert Hardware(devices=devices, threads=threads).workers(None, runs) == workers


def test_threads_do_not_depend_on_the_machine(machine):
    for cores in (1, 64):
        machine(0, cores)
        assert Hardware().threads == 1
    with pytest.raises(ValidationError, match="threads"):
        Hardware(threads=0)


def test_each_worker_has_gpus_of_its_own(machine):
    machine(5, 16)
    assert Hardware(devices=2).shares() == ["0,1", "2,3"]
    assert Hardware(devices=5).shares() == ["0,1,2,3,4"]
    assert Hardware(accelerator="cpu").shares() == [""]  # none is to be seen


def test_more_devices_than_there_are(machine):
    machine(2, 64)
    with pytest.raises(UserError, match="3 are more than this machine has: 2 GPU"):
        Hardware(devices=3).layout(1)
    assert Hardware(devices=3, accelerator="cpu").layout(1)[0] == ParallelLayout("ddp", 3)


def test_sizes_that_do_not_fit():
    with pytest.raises(
        ValidationError, match="tensor 3 does not divide devices 4: take 1 or 2 or 4"
    ):
        Hardware(devices=4, tensor=3)


def test_what_it_trains_on_is_in_no_key_and_no_revision(tmp_path, study_text, registry, machine):
    """On a machine with GPUs `auto` means bf16, and fp32 where the study trains on its CPU."""
    (tmp_path / "x.yaml").write_text(study_text)

    def keys(*overrides):
        study, document = load_study(tmp_path / "x.yaml", None, overrides)
        return study.revision(), [run.key for run in make_plan("x", study, document, registry).runs]

    on_cpu = keys()
    assert keys("hardware.devices=2", "hardware.strategy=fsdp") == on_cpu
    assert keys("hardware.threads=1") == on_cpu
    with_threads = keys("hardware.threads=2")
    assert with_threads[0] != on_cpu[0]
    assert not set(with_threads[1]) & set(on_cpu[1])
    machine(2, 8)
    assert keys("hardware.accelerator=cpu")[1] == on_cpu[1]


def test_auto_is_refused_where_it_would_divide_what_an_optimizer_needs_whole(registry, monkeypatch):
    def value(expression):
        sizes = {"layers": 1, "width": 16, "heads": 2, "vocab": 32, "context": 16}
        return composite(resolve(expression, registry), Composite(), sizes)

    monkeypatch.setattr(Hardware, "_memory", lambda self: 100_000)
    assert Hardware(devices=2).layout(10_000)[0].strategy == "fsdp"
    Hardware(devices=2).check(value("llama"))
    Hardware(devices=2, strategy="ddp").check(value("llama + muon"))
    with pytest.raises(
        UserError, match="needs whole weights, which strategy fsdp shards: use strategy ddp"
    ):
        Hardware(devices=2).check(value("llama + muon"))


def test_more_workers_than_gpus_share_them_evenly(machine):
    machine(3, 16)
    assert Hardware(devices=2).shares() == ["0,1"]
    assert Hardware(devices=2).workers(4, runs=8) == 4


@pytest.mark.parametrize(
    ("has", "devices", "requested", "runs", "workers"),
    [
        ((8, 16), 1, None, 99, 8),
        ((8, 16), 1, None, 3, 3),
        ((8, 16), 1, 1, 99, 1),
        ((8, 16), 2, None, 99, 4),
        ((0, 4), 1, 1, 99, 1),
        ((0, 4), 4, None, 9, 1),
    ],
)
def test_workers_under_a_budget_of_seconds(machine, has, devices, requested, runs, workers):
    machine(*has)
    assert Hardware(devices=devices).timed_workers(requested, runs) == workers


def test_under_a_budget_of_seconds_no_runs_share_a_device(machine):
    machine(3, 16)
    with pytest.raises(UserError, match=r"--workers: 4 would share devices.*: 3 at most"):
        Hardware().timed_workers(4, 9)


def test_what_a_machine_is_called(machine, monkeypatch):
    machine(2, 8)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a GPU")
    monkeypatch.setattr("ablab.train.machine.cpu_model", lambda: "a CPU")
    assert Hardware().identity() == (
        "a GPU; a CPU, 8 core(s), 1 thread(s) a process",
        "1 device(s) on 1 node(s), strategy auto, tensor 1",
    )
    on_cpu = Hardware(accelerator="cpu", devices=2, compile=True).identity()
    assert on_cpu == (
        "cpu; a CPU, 8 core(s), 1 thread(s) a process",
        "2 device(s) on 1 node(s), strategy auto, tensor 1, compiled",
    )


def test_what_it_trains_on_is_part_of_a_revision_under_a_budget_of_seconds(tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(study_text.replace("steps: 4", "seconds: 4"))
    revisions = {
        load_study(tmp_path / "x.yaml", None, given)[0].revision()
        for given in ((), ("hardware.devices=2",))
    }
    assert len(revisions) == 2
