"""Parameters and FLOPs against independent sources: published counts, and plain formulas written here."""

import pytest
import torch

from ablab.arch.accounting import account, count_flops
from ablab.arch.attention import Causal
from ablab.arch.decoder import on_meta
from ablab.arch.model import architecture

# Computed from the reference implementations of GPT-1, GPT-2 and LLaMA.
PUBLISHED = {
    "gpt1:117M": 116_534_784,
    "gpt2:124M": 124_439_808,
    "gpt2:355M": 354_823_168,
    "gpt2:774M": 774_030_080,
    "gpt2:1.5B": 1_557_611_200,
    "llama:7B": 6_738_415_616,
    "llama:13B": 13_015_864_320,
    "llama:33B": 32_528_943_616,
    "llama:65B": 65_285_660_672,
}


@pytest.mark.parametrize(("expression", "parameters"), PUBLISHED.items())
def test_published_parameter_counts(expression, parameters, registry):
    model = on_meta(architecture(expression, registry, {}))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_embedding_share_of_gpt2(registry):
    counted = account(architecture("gpt2:124M", registry, {})).parameters
    assert counted.embedding == 50257 * 768 + 1024 * 768
    assert counted.embedding + counted.non_embedding == counted.total


@pytest.mark.parametrize(("expression", "gated"), [("gpt2", False), ("llama", True)])
def test_flops_against_the_matmuls_written_out(expression, gated, registry):
    dims = {"layers": 3, "width": 64, "heads": 4, "vocab": 500, "context": 32}
    counted = account(architecture(expression, registry, dims)).flops_per_token
    width, time, ff = 64, 32, 172 if gated else 256  # 8/3 × 64 = 170.7, up to a multiple of 4
    matmuls = 3 * (4 * width * width + (3 if gated else 2) * width * ff) + 500 * width
    pairs = time * (time + 1) / 2
    forward = 2 * matmuls + 3 * 4 * pairs * width / time
    assert counted.forward == pytest.approx(forward, rel=1e-12)
    assert counted.training == pytest.approx(3 * forward, rel=1e-12)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_causal_pairs_are_the_sum_of_the_mask(time):
    assert Causal().pairs(time) == torch.ones(time, time).tril().sum().item()


def test_kv_cache_and_memory(registry):
    counted = account(architecture("gpt1", registry, {}))
    assert counted.kv_cache_bytes_per_token == 12 * 2 * 768 * 2
    memory = counted.memory_bytes
    # The arithmetic of GPT-1's paper-scale estimate: weights and two Adam moments, 4 bytes each, come to 12 a parameter.
    assert memory.weights + memory.optimizer == 12 * 116_534_784
    assert memory.gradients == memory.weights


def test_counting_does_not_depend_on_the_chunks_of_the_loss(registry, monkeypatch):
    arch = architecture("llama", registry, {"layers": 1, "width": 32, "heads": 2, "vocab": 400, "context": 128})
    whole = count_flops(on_meta(arch))
    monkeypatch.setattr("ablab.arch.loss._LOGITS_PER_CHUNK", 1)
    assert count_flops(on_meta(arch)) == whole
