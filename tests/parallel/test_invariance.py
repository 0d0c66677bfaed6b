"""The same run on any layout gives the same numbers: in float64, to what the order of sums leaves."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file

from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches
from tests.parallel.runs import DDP, FSDP, GRID, SINGLE, TENSOR, Task, losses, trained

LAYOUTS = {"ddp": DDP, "fsdp": FSDP, "tensor": TENSOR, "grid": GRID}


@pytest.fixture(scope="module")
def task(store, tmp_path_factory):
    def made(expression, **changes):
        return Task(expression, store.folder, tmp_path_factory.mktemp("run"), **changes)

    return made


@pytest.fixture(scope="module")
def one(crew, task):
    """What one process comes to, by expression."""
    known = {}

    def run(expression):
        if expression not in known:
            its = task(expression)
            known[expression] = crew.run(1, trained, its, SINGLE)[0] | {"weights": load_file(its.folder / "model.safetensors")}
        return known[expression]

    return run


@pytest.mark.parametrize("expression", ["gpt2", "palm", "llama"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_metrics_and_weights_are_those_of_one_process(crew, task, one, layout, expression):
    its = task(expression)
    main, *others = crew.run(LAYOUTS[layout].processes, trained, its, LAYOUTS[layout])
    expected = one(expression)
    assert len(losses(expected["rows"])) == 20
    assert losses(main["rows"]) == pytest.approx(losses(expected["rows"]), rel=1e-9)
    assert main["result"]["metrics"] == pytest.approx(expected["result"]["metrics"], rel=1e-9)
    for figure in ("tokens", "flops", "parameters"):
        assert main["result"]["cost"][figure] == expected["result"]["cost"][figure]
    weights = load_file(its.folder / "model.safetensors")
    assert weights.keys() == expected["weights"].keys()
    assert all((weights[name] - weight).abs().max() < 1e-9 for name, weight in expected["weights"].items())
    assert all(not other["rows"] for other in others)  # one process speaks
