"""Who sees whom, from where and how far, against dense masks and formulas written here; and how
long it takes.
"""

import math
import time

import pytest
import torch
import torch.nn.functional as F

import ablab
from ablab.arch.modules.attention import Banded, Causal
from ablab.arch.slots import Scores
from tests.plugins.small import DIMS, DOUBLE, lively


def normal(*shape, seed=1):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def test_alibi_slopes_where_heads_are_no_power_of_two():
    """Press et al.: those of 8 heads, 2^-1 … 2^-8, then every other of those of 16 heads, 2^-0.5,
    2^-1.5, …
    """
    slopes = (
        ablab.build("gpt2 + alibi", **{**DIMS, "width": 24, "heads": 12})
        .blocks[0]
        .mixer.attend.bias.slopes
    )
    expected = [2.0**-i for i in range(1, 9)] + [2.0**-x for x in (0.5, 1.5, 2.5, 3.5)]
    assert slopes.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("length", [127, 128, 129, 300, 520])
@pytest.mark.parametrize(
    ("terms", "band"),
    [
        ("sliding_window", 128),
        ("sparse_attention(layers=all)", 128),
        ("sliding_window(band=33)", 33),
        ("sliding_window(band=64) + mqa", 64),
        ("sliding_window(band=100) + alibi", 100),
    ],
)
def test_wide_bands_are_a_dense_mask(terms, band, length):
    attend = ablab.build(f"gpt2 + {terms}", **{**DIMS, "context": length}).blocks[0].mixer.attend
    kv_heads = 1 if "mqa" in terms else 2
    q, k, v = (
        normal(2, heads, length, 8, seed=i) for i, heads in enumerate((2, kv_heads, kv_heads))
    )
    distance = torch.arange(length).unsqueeze(1) - torch.arange(length)
    slopes = (
        torch.tensor([2.0**-4, 2.0**-8], dtype=DOUBLE)
        if "alibi" in terms
        else torch.zeros(2, dtype=DOUBLE)
    )
    scores = q @ k.expand_as(q).transpose(-1, -2) / math.sqrt(8) - slopes.view(2, 1, 1) * distance
    scores = scores.masked_fill((distance < 0) | (distance >= band), -math.inf)
    assert torch.allclose(
        attend(q, k, v),
        scores.softmax(-1) @ v.expand_as(q),
        atol=1e-6 if "alibi" in terms else 1e-12,
    )


def reach(mixer, length):
    """How far back the last token looks: its distance from the first token whose change it
    notices.
    """
    x = normal(1, length, 16)
    with torch.no_grad():
        before = mixer(x)[:, -1]
        for t in range(length):
            moved = x.clone()
            moved[:, t] += 1.0
            if not torch.equal(mixer(moved)[:, -1], before):
                return length - 1 - t
    raise AssertionError("it does not even see itself")


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("sparse_attention(band=3)", [9, 2, 9, 2, 9]),
        ("sparse_attention(band=3, layers=odd)", [9, 2, 9, 2, 9]),
        ("sparse_attention(band=3, layers=even)", [2, 9, 2, 9, 2]),
        ("sparse_attention(band=3, layers=all)", [2] * 5),
        ("sliding_window(band=3)", [2] * 5),
    ],
)
def test_which_layers_are_banded(terms, expected):
    """By default the odd ones, counted from 0: dense and banded layers alternate, and the first is
    dense.
    """
    assert [
        reach(block.mixer, 10) for block in lively(f"gpt2 + {terms}", layers=5).blocks
    ] == expected


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_queries_and_keys_are_normed_before_they_are_turned(kind):
    terms = "qk_norm" if kind == "rms" else "qk_norm(kind=layer)"
    mixer, x = lively(f"gpt2 + {terms} + rope(base=100)").blocks[0].mixer, normal(1, 10, 16)
    q, k, v = (
        (x @ p.weight.T + p.bias).unflatten(-1, (2, 8)).transpose(1, 2)
        for p in (mixer.q, mixer.k, mixer.v)
    )
    q, k = (
        turned(normed(part, norm, kind)) for part, norm in ((q, mixer.q_norm), (k, mixer.k_norm))
    )
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    assert torch.allclose(
        mixer(x), y @ mixer.o.weight.T + mixer.o.bias, atol=1e-5
    )  # its angles are float32


def normed(x, norm, kind):
    if kind == "rms":
        return norm.weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return (
        norm.bias
        + norm.weight
        * (x - x.mean(-1, keepdim=True))
        / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    )


def turned(x):
    angle = torch.outer(
        torch.arange(10, dtype=DOUBLE), 100.0 ** (-2 * torch.arange(4, dtype=DOUBLE) / 8)
    )
    pair = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((pair.real, pair.imag), dim=-1)


@pytest.mark.parametrize(
    ("terms", "alike"),
    [("+ no_position", True), ("", False), ("+ rope", False), ("+ sinusoidal", False)],
)
def test_without_positions_the_order_of_what_came_before_is_unknown(terms, alike):
    """In one layer: keys and values are their own token's, and the last one sums over them."""
    model = lively(f"gpt2 {terms}")
    tokens = torch.arange(10).unsqueeze(0)
    other = torch.cat((tokens[:, :9].flip(1), tokens[:, 9:]), dim=1)
    with torch.no_grad():
        assert torch.allclose(model(tokens)[:, -1], model(other)[:, -1], atol=1e-10) == alike
    if alike:
        assert not [
            name
            for name, _ in [*model.named_parameters(), *model.named_buffers()]
            if "position" in name
        ]


def test_banded_attention_takes_at_most_a_third_of_the_time():
    """At 4,096 tokens and a band of 128, forward and backward, on one thread. The best of
    interleaved rounds, in the processor's time: other processes make a round slow, never fast.
    """
    attends = {"dense": Causal().build(Scores(4, 4)), "banded": Banded(128).build(Scores(4, 4))}
    seconds = {name: [] for name in attends}
    for _ in range(6):
        for name, attend in attends.items():
            q, k, v = (torch.randn(1, 4, 4096, 32, requires_grad=True) for _ in range(3))
            start = time.process_time()
            attend(q, k, v).sum().backward()
            seconds[name].append(time.process_time() - start)
    assert torch.get_num_threads() == 1
    assert min(seconds["banded"]) <= min(seconds["dense"]) / 3, seconds
