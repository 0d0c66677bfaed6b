"""The same run on any layout gives the same numbers: in float64, to what the order of sums
leaves.
"""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ablab.arch.decoder.decoder import Decoder
from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches
from ablab.train.parallel import ParallelLayout
from ablab.train.window_scores import WindowScores
from tests.parallel.runs import DDP, FSDP, GRID, SINGLE, TENSOR, Task, losses, trained
from tests.ranks import RankFailed

pytestmark = pytest.mark.slow

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
            known[expression] = crew.run(1, trained, its, SINGLE)[0] | {
                "weights": load_file(its.folder / "model.safetensors"),
                "windows": WindowScores.read(its.folder / "val_windows.npz"),
            }
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
    assert main["result"].metrics == pytest.approx(expected["result"].metrics, rel=1e-9)
    windows = WindowScores.read(its.folder / "val_windows.npz")
    assert windows is not None
    assert windows.nll == pytest.approx(expected["windows"].nll, rel=1e-9)
    assert windows.same_windows(expected["windows"])
    for figure in ("tokens", "flops", "parameters"):
        cost = f"cost/{figure}"
        assert main["result"].value(cost) == expected["result"].value(cost)
    weights = load_file(its.folder / "model.safetensors")
    assert weights.keys() == expected["weights"].keys()
    assert all(
        (weights[name] - weight).abs().max() < 1e-9 for name, weight in expected["weights"].items()
    )
    assert all(not other["rows"] for other in others)  # one process speaks


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_that_do_not_divide_are_shared_without_bias(crew, task, layout):
    """Seven sequences, three, and one, which leaves a data rank with nothing."""
    changes = {"batches": Batches(((1, 2), (3, 2), (7, 3)))}
    expected = crew.run(1, trained, task("llama", **changes), SINGLE)[0]
    found = crew.run(LAYOUTS[layout].processes, trained, task("llama", **changes), LAYOUTS[layout])[
        0
    ]
    assert losses(found["rows"]) == pytest.approx(losses(expected["rows"]), rel=1e-9)
    assert found["result"].metrics == pytest.approx(expected["result"].metrics, rel=1e-9)
    assert found["result"].cost.tokens == (2 + 6 + 21) * 16


@pytest.mark.parametrize("expression", ["gpt2", "palm", "llama"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_float32_losses_are_those_of_one_process(crew, task, layout, expression):
    recipe = Recipe(batch_tokens=128, lr=1e-3, precision="fp32")
    expected = crew.run(1, trained, task(expression, recipe=recipe), SINGLE)[0]
    found = crew.run(
        LAYOUTS[layout].processes, trained, task(expression, recipe=recipe), LAYOUTS[layout]
    )[0]
    assert losses(found["rows"]) == pytest.approx(losses(expected["rows"]), rel=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions_and_activation_checkpointing(crew, task, layout, precision):
    recipe = Recipe(batch_tokens=128, lr=1e-3, precision=precision, checkpointing=True)
    expected = crew.run(1, trained, task("palm", recipe=recipe), SINGLE)[0]
    found = crew.run(
        LAYOUTS[layout].processes, trained, task("palm", recipe=recipe), LAYOUTS[layout]
    )[0]
    bound = {"fp32": 1e-5, "bf16": 1e-2}[precision]
    assert losses(found["rows"]) == pytest.approx(losses(expected["rows"]), rel=bound)
    assert found["result"].precision == precision


@pytest.mark.parametrize("first", ["single", "ddp", "fsdp", "tensor"])
@pytest.mark.parametrize("second", ["single", "ddp", "fsdp", "grid"])
def test_a_run_goes_on_from_its_checkpoint_on_any_layout(crew, task, one, first, second):
    layouts = {"single": SINGLE, **LAYOUTS}
    begun = task("llama", stop_after=7)
    cut = crew.run(layouts[first].processes, trained, begun, layouts[first])
    assert all(rank["result"] is None for rank in cut)  # the main one was asked; all stopped
    found = crew.run(
        layouts[second].processes, trained, replace(begun, stop_after=None), layouts[second]
    )[0]
    expected = one("llama")
    assert found["rows"][0] == (7, {"resumed": 7})
    after = {step: loss for step, loss in losses(expected["rows"]).items() if step > 7}
    assert losses(found["rows"]) == pytest.approx(after, rel=1e-9)
    if first == second == "single":
        assert losses(found["rows"]) == after  # the same layout: exactly
    assert found["result"].metrics == pytest.approx(expected["result"].metrics, rel=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_that_is_stopped_while_it_validates_goes_on(crew, task, one, layout):
    begun = task("gpt2", stop_after=10)  # the step of the validation
    crew.run(LAYOUTS[layout].processes, trained, begun, LAYOUTS[layout])
    found = crew.run(
        LAYOUTS[layout].processes, trained, replace(begun, stop_after=None), LAYOUTS[layout]
    )[0]
    assert found["result"].metrics == pytest.approx(one("gpt2")["result"].metrics, rel=1e-9)


@pytest.mark.parametrize("layout", [SINGLE, DDP, FSDP, TENSOR], ids=str)
def test_a_run_goes_on_exactly_on_the_same_layout_with_dropout_too(crew, task, layout):
    expression = "llama" if layout is TENSOR else "llama + dropout(p=0.1)"
    whole = crew.run(layout.processes, trained, task(expression), layout)[0]
    begun = task(expression, stop_after=7)
    crew.run(layout.processes, trained, begun, layout)
    found = crew.run(layout.processes, trained, replace(begun, stop_after=None), layout)[0]
    assert found["result"].metrics == whole["result"].metrics


def test_a_run_with_dropout_does_not_go_on_on_another_layout(crew, task):
    begun = task("llama + dropout(p=0.1)", stop_after=7)
    crew.run(2, trained, begun, DDP)
    with pytest.raises(RankFailed, match="begun on 2 processes"):
        crew.run(1, trained, begun, SINGLE)


def test_an_optimizer_that_needs_whole_weights_is_refused_where_they_are_shared(
    crew, task, registry
):
    muon = registry.plugin("muon").configure({}).edit()["recipe.optimizer"]
    recipe = Recipe(batch_tokens=128, lr=1e-3, precision="fp32", optimizer=muon)
    with pytest.raises(RankFailed, match="needs whole weights"):
        crew.run(2, trained, task("llama", recipe=recipe), FSDP)
    expected = crew.run(1, trained, task("llama", recipe=recipe), SINGLE)[0]
    found = crew.run(2, trained, task("llama", recipe=recipe), DDP)[0]
    assert losses(found["rows"]) == pytest.approx(losses(expected["rows"]), rel=1e-4)


def _with_little_memory(
    rank: int, task: Task, layout: ParallelLayout, most: int
) -> tuple[dict, list[int]]:
    """A run where more than `most` sequences at once do not fit, and how many were tried."""
    whole, tried = Decoder.loss, []

    def loss(self, tokens, targets, terms=()):
        tried.append(len(tokens))
        if torch.is_grad_enabled() and len(tokens) > most:
            raise torch.OutOfMemoryError("no")
        return whole(self, tokens, targets, terms)

    Decoder.loss = loss
    try:
        return trained(rank, task, layout), tried
    finally:
        Decoder.loss = whole


def test_micro_batches_are_halved_until_they_fit_and_change_nothing(crew, task, one):
    found, tried = crew.run(1, _with_little_memory, task("gpt2"), SINGLE, 2)[0]
    assert tried[:4] == [8, 4, 2, 2]
    assert losses(found["rows"]) == pytest.approx(losses(one("gpt2")["rows"]), rel=1e-9)


@pytest.mark.parametrize("layout", [DDP, FSDP, TENSOR], ids=str)
def test_processes_begin_again_with_micro_batches_of_half_the_size(crew, task, one, layout):
    """The one that is short of memory says so; the others wait for it, and cannot be told."""
    its, said = task("gpt2"), list[int]()
    while True:
        try:
            found = crew.run(layout.processes, _with_little_memory, its, layout, 2)[0][0]
            break
        except RankFailed as fault:
            said += map(
                int, re.findall(r"MemoryShort: (\d+) sequences at once may fit", str(fault))
            )
            its = replace(its, micro_batch=said[-1])
    assert said == {4: [2], 8: [4, 2]}[8 // layout.data]
    assert losses(found["rows"]) == pytest.approx(losses(one("gpt2")["rows"]), rel=1e-9)


def test_a_sequence_that_does_not_fit_is_said(crew, task):
    with pytest.raises(RankFailed, match="one sequence does not fit into memory"):
        crew.run(1, _with_little_memory, task("gpt2"), SINGLE, 0)
