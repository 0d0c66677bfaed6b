"""How the local executor divides devices among its processes."""

from pathlib import Path

import pytest

from ablab.execute.executors import local as executor
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.worker_context import WorkerContext
from ablab.spec.hardware import Hardware


class Pool:
    """Notes what it is started with, and never ends a task."""

    def __init__(self, initargs, **others):
        self.device, self.active = initargs[0].device, True

    def schedule(self, function, args):
        return executor.Future()

    def stop(self):
        self.active = False

    def join(self):
        """Nothing to wait for."""


@pytest.fixture
def local(monkeypatch):
    monkeypatch.setattr(executor, "ProcessPool", Pool)
    return lambda slots, devices: LocalExecutor(slots, WorkerContext(Path()), devices)


def held(made):
    return [pool.device for pool in made._busy.values()]


def test_each_process_has_a_gpu_and_they_are_shared_evenly(local):
    made = local(4, ["0", "1"])
    futures = [made.submit(None) for _ in range(4)]
    assert held(made) == ["0", "1", "0", "1"]
    made.cancel(futures[1])
    made.submit(None)
    assert sorted(held(made)) == [
        "0",
        "0",
        "1",
        "1",
    ]  # the new one takes the place of the one that is gone


def test_without_gpus_nothing_is_set(local):
    made = local(2, [])
    made.submit(None)
    assert held(made) == [None]


@pytest.mark.parametrize(
    ("visible", "found"), [(None, ["0", "1"]), ("3,5", ["3", "5"]), ("", ["0", "1"])]
)
def test_the_gpus_that_are_visible(monkeypatch, visible, found):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine = Hardware()
    assert machine.gpus() == found
    assert machine.shares() == found
    assert machine.workers(None, 10) == 2
    assert machine.workers(None, 1) == 1
    assert Hardware(devices=2).shares() == [",".join(found)]
    assert Hardware(devices=2).workers(None, 10) == 1
