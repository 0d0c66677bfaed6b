"""What a run measures of its model: decoding speed, KV cache and peak memory."""

from dataclasses import replace
from statistics import median
from time import perf_counter

import pytest
import torch
from safetensors.torch import load_file

import ablab
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.modules.context import KVCache
from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches
from ablab.train.costs.decoding import decoding
from ablab.train.costs.memory import LiveBytes, training_peak
from ablab.train.job import Job
from ablab.train.recorder import SILENT
from ablab.train.run import train
from tests.conftest import ROOT

DIMS = {"layers": 3, "width": 32, "heads": 4, "vocab": 300, "context": 64}
EXAMPLES = ROOT / "docs" / "example_package" / "ablab_example"
FLOAT32 = 4
TWO_STEPS = Batches(((4, 2),))
on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA keeps its own peak")


@pytest.fixture
def job(store, tmp_path):
    def made(expression="gpt2", batches=TWO_STEPS, **recipe):
        arch = architecture(expression, load_registry((EXAMPLES,)), DIMS)
        return Job(
            arch,
            Recipe(batch_tokens=256, lr=1e-3, **{"precision": "fp32", **recipe}),
            store,
            batches,
            1,
            1.0,
            tmp_path,
        )

    return made


def cost(job):
    result = train(job, SILENT).result
    assert result is not None
    return result.cost


@pytest.mark.parametrize(
    ("expression", "numbers"),
    [
        # 2 · layers · kv heads · head_dim · tokens
        ("gpt2", 2 * 3 * 4 * 8 * 64),
        ("gpt2 + mqa", 2 * 3 * 1 * 8 * 64),
        ("gpt2 + gqa(groups=2)", 2 * 3 * 2 * 8 * 64),
        ("gpt2 + sliding_window(band=16)", 2 * 3 * 4 * 8 * 15),
        ("gpt2 + decay_mixer", 3 * 32),
        ("gpt2 + value_residual + experts", 2 * 3 * 4 * 8 * 64),
    ],
)
@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("fp64", 8)])
def test_the_cache_is_what_inspect_says_at_the_runs_precision(
    job, expression, numbers, precision, width
):
    made = job(expression, precision=precision)
    found = cost(made)
    assert found.kv_cache_bytes == width * numbers
    # `ablab inspect` rounds bytes per token in bfloat16
    assert found.kv_cache_bytes / 64 * 2 / width == pytest.approx(
        account(made.arch).kv_cache_bytes_per_token, abs=0.5
    )
    assert found.decode_tokens_per_second > 0


def test_the_speed_is_that_of_a_plain_loop(job):
    made = job("llama")
    found = cost(made).decode_tokens_per_second
    model = ablab.build("llama", **DIMS).eval()
    model.load_state_dict(load_file(made.folder / "model.safetensors"))
    seconds = []
    with torch.no_grad():
        for _ in range(5):
            memory = KVCache()
            token = model(torch.zeros(1, 32, dtype=torch.long), memory)[:, -1:].argmax(-1)
            start = perf_counter()
            for _ in range(32):
                token = model(token, memory)[:, -1:].argmax(-1)
            seconds.append((perf_counter() - start) / 32)
    assert 1 / 3 < found * median(seconds) < 3


@pytest.mark.parametrize("context", [1, 2, 3, 5, 8])
def test_a_short_context_is_no_trouble(context):
    model = ablab.build("gpt2", **{**DIMS, "context": context})
    found = decoding(model, torch.zeros(context, dtype=torch.long), "fp32")
    assert found["kv_cache_bytes"] == 2 * 3 * 32 * context * FLOAT32
    assert (found["decode_tokens_per_second"] is None) == (context == 1)
    assert model.training


def test_a_model_that_cannot_decode_has_no_figure():
    model = ablab.build("gpt2", **DIMS)
    model.blocks[1].mixer.attend.step = None
    found = decoding(model, torch.zeros(64, dtype=torch.long), "fp32")
    assert found == {"decode_tokens_per_second": None, "kv_cache_bytes": None}


def test_live_bytes_follow_what_is_made_and_dropped():
    held = torch.zeros(10)
    with LiveBytes([held]) as live:
        a = torch.ones(1000)
        b = a * 2
        b.add_(1)
        del a
        c = b.view(10, 100) * 2
        del b, c
        torch.ones(1500)
    assert live.peak == 4 * (10 + 2000)


def saved_bytes(model, tokens):
    """By another way: the storages that autograd keeps for the backward pass, weights apart."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.loss(tokens, tokens).total.backward()
    return sum(storage.nbytes() for storage in kept.values())


def test_the_peak_is_weights_state_and_what_backward_needs():
    model, tokens = ablab.build("gpt2", **DIMS), torch.randint(0, 300, (8, 64))
    weights = FLOAT32 * sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model.loss(tokens, tokens).total.backward()
    optimizer.step()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = training_peak(model, optimizer, lambda: iter([model.loss(tokens, tokens).total]))
    assert all(
        torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters()
    )
    saved = saved_bytes(model, tokens)
    assert weights * 3 + saved < found < weights * 4 + 1.5 * saved


@on_cpu
def test_the_runs_peak_does_not_depend_on_earlier_runs_or_on_being_cut(job, tmp_path):
    first = cost(job("llama")).peak_memory_bytes
    assert cost(job("llama", Batches(((16, 1),)))).peak_memory_bytes > 1.5 * first
    assert cost(job("llama")).peak_memory_bytes == first
    # A ramp's largest batch counts, and micro-batches are what is in memory at once.
    assert cost(job("llama", Batches(((1, 2), (4, 1))))).peak_memory_bytes == first
    halved = cost(replace(job("llama"), micro_batch=2)).peak_memory_bytes
    assert 0.5 * first < halved < 0.9 * first
    again = cost(job("llama", checkpointing=True)).peak_memory_bytes
    assert again < 0.8 * first


@on_cpu
def test_measuring_asks_for_no_more_than_a_step(job, monkeypatch):
    tried = []
    loss = Decoder.loss

    def noted(self, tokens, *rest):
        if torch.is_grad_enabled():
            tried.append(len(tokens))
        return loss(self, tokens, *rest)

    monkeypatch.setattr(Decoder, "loss", noted)
    cost(replace(job("llama", Batches(((6, 2),))), micro_batch=2))
    assert tried == [2] * 6 + [2] * 2
