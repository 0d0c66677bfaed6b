"""The base decoder's parts against plain references written here."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import ablab
from ablab.arch.composition.base import BASE
from ablab.arch.decoder.build import build_model
from ablab.arch.modules.context import ForwardContext
from ablab.arch.modules.mlp import ff_width
from ablab.arch.value import ByLayer, Dims, at_layer

DIMS = Dims(layers=2, width=24, heads=3, vocab=40, context=12)


def attention(x, weights, biases, heads):
    """Scaled-dot-product attention by loops over heads and queries."""
    q, k, v = (x @ weights[n].T + biases[n] for n in "qkv")
    dim = q.shape[-1] // heads
    out = torch.zeros_like(q)
    for h in range(heads):
        part = slice(h * dim, (h + 1) * dim)
        for t in range(x.shape[0]):
            scores = torch.stack([q[t, part] @ k[s, part] / math.sqrt(dim) for s in range(t + 1)])
            out[t, part] = (scores.softmax(0)[:, None] * v[: t + 1, part]).sum(0)
    return out @ weights["o"].T + biases["o"]


def test_gpt1_block_against_loops():
    model = build_model(replace(BASE, dims=DIMS), seed=3).double()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    tokens = torch.randint(0, 40, (12,))
    x = model.embedding.weight[tokens] + model.position.table.weight
    for block in model.blocks:
        weights = {n: getattr(block.mixer, n).weight for n in "qkvo"}
        biases = {n: getattr(block.mixer, n).bias for n in "qkvo"}
        norm = block.join["mixer"].norm
        x = F.layer_norm(x + attention(x, weights, biases, 3), (24,), norm.weight, norm.bias)
        hidden = x @ block.mlp.up.weight.T + block.mlp.up.bias
        hidden = (
            0.5
            * hidden
            * (1 + torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)))
        )
        norm = block.join["mlp"].norm
        x = F.layer_norm(
            x + hidden @ block.mlp.down.weight.T + block.mlp.down.bias,
            (24,),
            norm.weight,
            norm.bias,
        )
    assert torch.allclose(model(tokens[None])[0], x @ model.embedding.weight.T, atol=1e-10)


def test_heads_and_head_dimension_are_independent():
    model = build_model(replace(BASE, dims=replace(DIMS, head_dim=16)), seed=0)
    assert model.blocks[0].mixer.q.weight.shape == (48, 24)
    assert model(torch.zeros(1, 5, dtype=torch.long)).shape == (1, 5, 40)


def test_names_do_not_change_with_the_wiring():
    sequence = build_model(replace(BASE, dims=DIMS), seed=0)
    parallel = build_model(replace(BASE, dims=DIMS, wiring=(("mixer", "mlp"),)), seed=0)
    names = set(dict(sequence.named_parameters()))
    assert set(dict(parallel.named_parameters())) == {n for n in names if "join.mlp" not in n}


def test_values_by_layer_alternate():
    arch = replace(BASE, dims=DIMS, norm=ByLayer("even", "odd"))
    assert [at_layer(arch, i).norm for i in range(4)] == ["even", "odd", "even", "odd"]


@pytest.mark.parametrize(
    ("width", "expected"), [(4096, 11008), (5120, 13824), (6656, 17920), (8192, 22016)]
)
def test_llama_feed_forward_widths(width, expected):
    assert ff_width(width, 8 / 3, 256) == expected


def test_tokens_beyond_the_context_are_refused():
    model = ablab.build("gpt2", layers=1, width=8, heads=1, vocab=10, context=4)
    with pytest.raises(ValueError, match="context of 4"):
        model(torch.zeros(1, 5, dtype=torch.long))


@pytest.mark.parametrize(
    "expression",
    ["llama", "palm + qk_norm", "gpt3 - sparse_attention + sliding_window(band=2)", "gpt2 + alibi"],
)
def test_every_block_compiles_without_a_graph_break(expression):
    from torch._dynamo import explain

    model = ablab.build(expression, layers=1, width=16, heads=2, vocab=10, context=8)
    explanation = explain(model.blocks[0])(torch.randn(1, 8, 16), ForwardContext())
    assert explanation.graph_break_count == 0
