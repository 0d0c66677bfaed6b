"""Plugins that need more than the stream, on any layout: an added loss, a value carried across
layers, a mixer of one's own.
"""

from dataclasses import replace

import pytest

from ablab.data.batches import Batches
from tests.conftest import ROOT
from tests.parallel.runs import DDP, FSDP, GRID, SINGLE, TENSOR, Task, losses, trained

pytestmark = pytest.mark.slow

PLUGINS = ROOT / "docs" / "example_package" / "ablab_example"
# Uneven shares, the last of which leaves a data rank with nothing; an added loss of some size.
UNEVEN = Batches(((8, 4), (3, 2), (7, 3), (1, 2)))
EXPRESSIONS = [
    "gpt2 + experts(balance=0.3) + value_residual",
    "gpt2 + decay_mixer + experts(balance=0.3) + parallel_block",
]


@pytest.fixture(scope="module")
def task(store, tmp_path_factory):
    def made(expression, **changes):
        return Task(
            expression,
            store.folder,
            tmp_path_factory.mktemp("run"),
            UNEVEN,
            plugins=PLUGINS,
            **changes,
        )

    return made


@pytest.fixture(scope="module", params=EXPRESSIONS)
def expected(request, crew, task):
    return request.param, crew.run(1, trained, task(request.param), SINGLE)[0]


@pytest.mark.parametrize("layout", [DDP, FSDP, TENSOR, GRID], ids=str)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "again"])
def test_losses_and_metrics_are_those_of_one_process(crew, task, expected, layout, checkpointing):
    expression, one = expected
    its = task(expression)
    its = replace(its, recipe=replace(its.recipe, checkpointing=checkpointing))
    found = crew.run(layout.processes, trained, its, layout)[0]
    assert losses(found["rows"]) == pytest.approx(losses(one["rows"]), rel=1e-9)
    assert found["result"].metrics == pytest.approx(one["result"].metrics, rel=1e-9)


def test_micro_batches_change_no_added_loss(crew, task, expected):
    expression, one = expected
    found = crew.run(1, trained, replace(task(expression), micro_batch=3), SINGLE)[0]
    assert losses(found["rows"]) == pytest.approx(losses(one["rows"]), rel=1e-9)
