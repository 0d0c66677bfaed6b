"""Attention whose pattern does more for each pair than one softmax attention is charged for it."""

from dataclasses import dataclass, replace

import pytest
import torch

from ablab.arch.composition.model import architecture
from ablab.arch.conformance import check_flops
from ablab.arch.counting.account import account, count_flops
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.modules.attend import Dense
from ablab.arch.modules.attention import Banded, Causal
from ablab.arch.modules.banded import Local
from ablab.arch.slots import Pattern

DIMS = {"layers": 2, "width": 64, "heads": 4, "vocab": 100, "context": 100}
BAND = 5


def difference(attend, q, k, v):
    """Two maps over half-width queries and keys, each over full-width values (Ye et al. 2024,
    arXiv:2410.05258).
    """
    maps = zip(q.chunk(2, dim=-1), k.chunk(2, dim=-1), strict=True)
    first, second = (attend(half_q, half_k, v) for half_q, half_k in maps)
    return first - 0.5 * second


class DifferentialDense(Dense):
    def forward(self, q, k, v):
        return difference(super().forward, q, k, v)


class DifferentialLocal(Local):
    def forward(self, q, k, v):
        return difference(super().forward, q, k, v)


@dataclass(frozen=True)
class Differential(Pattern):
    band: int | None = None

    def build(self, scores):
        return DifferentialLocal(scores, self.band) if self.band else DifferentialDense(scores)


def with_pattern(registry, pattern, expression="llama"):
    arch = architecture(expression, registry, DIMS)
    return replace(arch, mixer=replace(arch.mixer, pattern=pattern))


@pytest.mark.parametrize("expression", ["llama", "llama + mqa", "gpt2 + alibi"])
@pytest.mark.parametrize(
    ("plain", "differential", "pairs"),
    [
        (Causal(), Differential(), 100 * 101 // 2),
        (Banded(BAND), Differential(BAND), BAND * (BAND + 1) // 2 + (100 - BAND) * BAND),
    ],
)
def test_two_maps_are_charged_six_head_widths_a_pair(
    registry, plain, differential, pairs, expression
):
    """2 × 2 FLOPs for a multiply-add over half a head (scores), and 2 × 2 over a whole one."""
    one = account(with_pattern(registry, plain, expression)).flops_per_token
    two = account(with_pattern(registry, differential, expression)).flops_per_token
    layers, width, time = 2, 64, 100  # 4 heads of 16
    extra = layers * (6 - 4) * width * pairs / time
    assert two.forward - one.forward == pytest.approx(extra, rel=1e-9)
    assert two.training - one.training == pytest.approx(3 * extra, rel=1e-9)


def test_the_conformance_suite_counts_its_pairs(registry):
    arch = with_pattern(registry, Differential())
    check_flops(replace(arch, dims=replace(arch.dims, context=12)))


@pytest.mark.parametrize("time", [1, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("band", [1, 5, 40])
@pytest.mark.parametrize("strided", [False, True])
def test_the_computed_pairs_of_our_patterns(registry, time, band, strided):
    """Whatever chunks and padding a pattern computes, it is charged 4 head widths a pair."""
    arch = with_pattern(registry, Banded(band, strided))
    arch = replace(arch, dims=replace(arch.dims, context=time))
    model = on_meta(arch)
    pairs = sum(block.mixer.attend.pairs(time) for block in model.blocks)
    free = sum(p.numel() for p in model.parameters() if p.ndim == 2) - 100 * 64  # the table's rows
    expected = 2 * free + 4 * 16 * pairs / time
    assert count_flops(model).forward == pytest.approx(expected, rel=1e-12)


def test_counting_leaves_the_model_as_it_was(registry):
    model = on_meta(architecture("gpt2", registry, DIMS))
    count_flops(model)
    assert all("forward" not in vars(module) for module in model.modules())
    assert model(torch.zeros(1, 4, dtype=torch.long, device="meta")).shape == (1, 4, 100)
