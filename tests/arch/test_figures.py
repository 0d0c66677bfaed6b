"""Parameters and FLOPs against independent sources: published counts, and plain formulas written
here.
"""

import pytest
import torch

from ablab.arch.composition.model import architecture
from ablab.arch.counting.account import account, count_flops
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.modules.attention import Banded, Causal
from ablab.arch.slots import Scores

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
# From the papers' own size tables (GPT-3 table 2.1, Megatron-LM table 1, Megatron-Turing section
# 3).
TABLED = {
    "gpt3:125M": 125_226_240,
    "gpt3:350M": 355_871_744,
    "gpt3:760M": 760_300_032,
    "gpt3:1.3B": 1_517_123_584,
    "gpt3:2.7B": 2_651_553_280,
    "gpt3:6.7B": 6_658_404_352,
    "gpt3:13B": 12_936_488_380,
    "gpt3:175B": 174_604_259_328,
    "megatron:1.2B": 1_213_479_936,
    "megatron:2.5B": 2_490_408_960,
    "megatron:4.2B": 4_199_109_120,
    "megatron:8.3B": 8_317_040_640,
    "megatron:530B": 529_600_819_200,
}


@pytest.mark.parametrize(("expression", "parameters"), [*PUBLISHED.items(), *TABLED.items()])
def test_published_parameter_counts(expression, parameters, registry):
    model = on_meta(architecture(expression, registry, {}))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(("size", "billions"), [("8B", 8.63), ("62B", 62.50), ("540B", 540.35)])
def test_palm_is_as_large_as_its_paper_says(size, billions, registry):
    model = on_meta(architecture(f"palm:{size}", registry, {}))
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(billions, rel=1e-3)


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
def test_pairs_are_the_sum_of_the_mask(time):
    dense = torch.ones(time, time).tril()
    band = torch.stack(
        [torch.stack([torch.tensor(0 <= q - k < 5) for k in range(time)]) for q in range(time)]
    )
    stride = torch.stack(
        [
            torch.stack([torch.tensor(q >= k and (q - k) % 5 == 0) for k in range(time)])
            for q in range(time)
        ]
    )
    scores = Scores(heads=4, kv_heads=2)
    assert Causal().build(scores).pairs(time) == 4 * dense.sum().item()
    assert Banded(5).build(scores).pairs(time) == 4 * band.sum().item()
    assert (
        Banded(5, strided=True).build(scores).pairs(time)
        == 2 * band.sum().item() + 2 * stride.sum().item()
    )


def test_kv_cache_and_memory(registry):
    counted = account(architecture("gpt1", registry, {}))
    assert counted.kv_cache_bytes_per_token == 12 * 2 * 768 * 2
    memory = counted.memory_bytes
    # The arithmetic of GPT-1's paper-scale estimate: weights and two Adam moments, 4 bytes each,
    # come to 12 a parameter.
    assert memory.weights + memory.optimizer == 12 * 116_534_784
    assert memory.gradients == memory.weights


def test_counting_does_not_depend_on_the_chunks_of_the_loss(registry, monkeypatch):
    arch = architecture(
        "llama", registry, {"layers": 1, "width": 32, "heads": 2, "vocab": 400, "context": 128}
    )
    whole = count_flops(on_meta(arch))
    monkeypatch.setattr("ablab.arch.modules.loss._LOGITS_PER_CHUNK", 1)
    assert count_flops(on_meta(arch)) == whole
