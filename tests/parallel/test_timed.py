"""Several processes that share seconds: the main one's clock decides, and all end with the same
step.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from ablab.arch.recipe import RampSlot, ScheduleSlot
from ablab.train.budget import TimeLimit
from ablab.train.parallel import ParallelContext, ParallelLayout
from ablab.train.recorder import Hooks
from ablab.train.run import train
from tests.parallel.runs import DDP, FSDP, SINGLE, TENSOR, Task, losses

pytestmark = pytest.mark.slow

_STEP_SECONDS = 0.25


class Clock:
    """Goes on when a step begins; each process has its own."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Ticking(ScheduleSlot):
    clock: Clock

    def factor(self, share: float) -> float:
        self.clock.now += _STEP_SECONDS
        return 1 - share / 2


@dataclass(frozen=True)
class Straight(RampSlot):
    def fraction(self, share: float) -> float:
        return min(1.0, 0.25 + share)


def timed(rank: int, task: Task, layout: ParallelLayout, seconds: float) -> dict[str, Any]:
    """A run of `seconds` by the main process's clock, of which a step takes a quarter. The others'
    clocks are real.
    """
    clock, rows = Clock(), list[tuple[int, dict[str, float]]]()
    asked = iter(range(10_000))
    hooks = Hooks(
        log=lambda step, metrics: rows.append((step, dict(metrics))),
        stop=lambda: task.stop_after is not None and next(asked) + 1 >= task.stop_after,
        beat=lambda share, metrics: None,
        resumed=lambda step: rows.append((step, {"resumed": step})),
        clock=clock,
    )
    torch.set_num_threads(1)
    job = task.job()
    recipe = replace(job.recipe, schedule=Ticking(clock), warmup=0.0)
    job = replace(job, recipe=recipe, batches=TimeLimit(seconds, 8, "a machine", str(layout)))
    return {"rows": rows, "result": train(job, hooks, ParallelContext.join(layout, "cpu")).result}


@pytest.fixture
def task(store, tmp_path):
    def made(name, **changes):
        (tmp_path / name).mkdir()
        return Task("llama", store.folder, tmp_path / name, **changes)

    return made


@pytest.mark.parametrize("layout", [DDP, FSDP, TENSOR], ids=str)
def test_every_process_ends_with_the_same_step_and_the_numbers_of_one(crew, task, layout):
    recipe = replace(task("recipe").recipe, ramp=Straight())
    alone = crew.run(1, timed, task("one", recipe=recipe), SINGLE, 2.1)[0]
    found = crew.run(2, timed, task("two", recipe=recipe), layout, 2.1)
    assert [rank["result"].steps for rank in found] == [9, 9]
    assert found[0]["result"].cost.seconds == 2.25
    assert found[0]["result"].cost.tokens == alone["result"].cost.tokens
    assert found[0]["result"].metrics == pytest.approx(alone["result"].metrics, rel=1e-9)
    assert losses(found[0]["rows"]) == pytest.approx(losses(alone["rows"]), rel=1e-9)
    assert found[1]["rows"] == []  # only the main one tells


@pytest.mark.parametrize("layout", [DDP, FSDP, TENSOR], ids=str)
def test_a_run_goes_on_with_what_is_left_of_its_seconds(crew, task, layout):
    whole = crew.run(2, timed, task("whole"), layout, 2.0)[0]
    begun = task("cut", stop_after=3)
    cut = crew.run(2, timed, begun, layout, 2.0)
    assert all(rank["result"] is None for rank in cut)
    found = crew.run(2, timed, replace(begun, stop_after=None), layout, 2.0)
    assert found[0]["rows"][0] == (3, {"resumed": 3})
    assert [rank["result"].steps for rank in found] == [8, 8]
    assert found[0]["result"].cost.seconds == 2.0
    assert found[0]["result"].metrics == pytest.approx(whole["result"].metrics, rel=1e-9)
