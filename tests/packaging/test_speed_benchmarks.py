"""The benchmarks of speed at their smallest settings. No time is asserted."""

import json
import math

import pytest
import torch

from benchmarks import decode, train_step
from benchmarks.peers import PlainGpt2, Shape, ours, plain
from benchmarks.side_by_side import Times, in_turn


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_training_steps_are_timed_beside_equals(tmp_path, capsys):
    path = tmp_path / "steps.json"
    settings = ["--shape", "tiny", "--rounds", "1", "--calls", "1", "--run-steps", "4"]
    train_step.main([*settings, "--json", str(path)])
    printed = capsys.readouterr().out
    for name in ("plain GPT-2", "ablab gpt2", "ablab llama", "transformers LLaMA", "with them"):
        assert name in printed
    results = json.loads(path.read_text())
    (steps,) = results["steps"]
    assert steps["ratios"]["plain GPT-2"]["plain GPT-2"] == 1.0
    assert set(results["runs"]) == {"gpt2", "llama"}


@pytest.mark.slow
def test_decoding_is_timed_beside_transformers(tmp_path, capsys):
    path = tmp_path / "decode.json"
    decode.main(["--context", "16", "--rounds", "1", "--json", str(path)])
    figures = json.loads(path.read_text())["contexts"]["16"]
    # 4 layers × (keys and values) × 8 heads × 32 dimensions × 48 tokens × 4 bytes
    assert figures["multi-head"]["cache"]["held"] == 4 * 2 * 8 * 32 * 48 * 4
    assert figures["multi-query"]["cache"]["held"] * 8 == figures["multi-head"]["cache"]["held"]
    assert "transformers LLaMA" in capsys.readouterr().out


def test_the_plain_model_computes_what_ours_does():
    shape = Shape(2, 16, 2, 8, 30, 2)
    own = ours("gpt2", shape).model.double()
    theirs = PlainGpt2(shape, tanh=True).double()
    pairs = {"tokens": own.embedding, "positions": own.position.table, "norm": own.final}
    for name, module in pairs.items():
        theirs.get_submodule(name).load_state_dict(module.state_dict())
    for block, plain_block in zip(own.blocks, theirs.blocks, strict=True):
        mixer, mlp = block.mixer, block.mlp
        for linear, parts in (
            (plain_block.qkv, (mixer.q, mixer.k, mixer.v)),
            (plain_block.out, (mixer.o,)),
            (plain_block.up, (mlp.up,)),
            (plain_block.down, (mlp.down,)),
        ):
            for key in ("weight", "bias"):
                joined = torch.cat([getattr(part, key) for part in parts])
                getattr(linear, key).data.copy_(joined)
        plain_block.norm1.load_state_dict(block.join["mixer"].norm.state_dict())
        plain_block.norm2.load_state_dict(block.join["mlp"].norm.state_dict())
    tokens = torch.randint(0, 30, (2, 9))
    expected = theirs(tokens[:, :-1], tokens[:, 1:]).item()
    assert own.loss(tokens[:, :-1], tokens[:, 1:]).total.item() == pytest.approx(expected, 1e-12)


def test_models_of_other_sizes_are_no_equals(monkeypatch):
    shape = Shape(1, 16, 2, 16, 300, 2)
    wider = Shape(1, 16, 2, 16, 301, 2)
    monkeypatch.setattr(train_step, "plain", lambda _, *, tanh=False: plain(wider, tanh=tanh))
    with pytest.raises(ValueError, match="no equals"):
        train_step.contestants(shape)


def test_a_model_with_another_loss_is_refused():
    with pytest.raises(ValueError, match=r"b starts from a loss of 12\.0"):
        train_step._require_fresh({"a": math.log(300), "b": 12.0}, 300)


def test_ratios_are_medians_over_rounds():
    assert Times((1.0, 2.0, 4.0)).faster_than(Times((2.0, 2.0, 12.0))) == 2.0


def test_every_action_has_its_turn_in_each_round():
    calls = []
    times = in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, 3, 2)
    assert sorted(calls) == ["a"] * 8 + ["b"] * 8  # two to warm up, and two a round
    assert [len(times[name].rounds) for name in "ab"] == [3, 3]
