"""Each change against a plain reference written here."""

import torch

import ablab
from ablab.arch.flow import Flow

DIMS = {"layers": 1, "width": 16, "heads": 2, "vocab": 30, "context": 10}


def lively(expression, **kwargs):
    model = ablab.build(expression, **{**DIMS, **kwargs}).double()
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5
    return model


def test_pre_norm_keeps_the_stream_clean_and_norms_once_more():
    block = lively("gpt1 + pre_norm").blocks[0]
    x = torch.randn(1, 10, 16, dtype=torch.float64)
    after = x + block.mixer(block.join["mixer"].norm(x))
    assert torch.allclose(block(x, Flow()), after + block.mlp(block.join["mlp"].norm(after)))
    model = lively("gpt1 + pre_norm")
    assert model.final.weight.shape == (16,)


def test_rmsnorm():
    norm = lively("gpt2 + rmsnorm").blocks[0].join["mixer"].norm
    x = torch.randn(3, 16, dtype=torch.float64)
    assert torch.allclose(norm(x), norm.weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt())
    assert norm.bias is None if hasattr(norm, "bias") else True


def test_rope_turns_each_pair_as_a_complex_number():
    model = ablab.build("gpt2 + rope(base=100)", **DIMS)
    q, k = torch.randn(2, 1, 2, 10, 8)
    turned, _ = model.blocks[0].mixer.rotate(q, k)
    for i in range(4):
        angle = torch.arange(10) * 100.0 ** (-2 * i / 8)
        pair = torch.complex(q[..., i], q[..., i + 4]) * torch.polar(torch.ones(10), angle)
        assert torch.allclose(turned[..., i], pair.real, atol=1e-6)
        assert torch.allclose(turned[..., i + 4], pair.imag, atol=1e-6)


def test_rope_scores_depend_on_the_distance_alone():
    model = ablab.build("gpt2 + rope", **DIMS)
    q, k = (torch.randn(1, 2, 1, 8).expand(1, 2, 10, 8) for _ in range(2))
    a, b = model.blocks[0].mixer.rotate(q, k)
    scores = a @ b.transpose(-1, -2)
    for distance in range(10):
        along = scores.diagonal(-distance, -2, -1)
        assert torch.allclose(along, along[..., :1].expand_as(along), atol=1e-5)
    assert not hasattr(model.position, "table")


def test_swiglu():
    mlp = lively("gpt2 + swiglu").blocks[0].mlp
    x = torch.randn(5, 16, dtype=torch.float64)
    gate = x @ mlp.gate.weight.T + mlp.gate.bias
    up = x @ mlp.up.weight.T + mlp.up.bias
    expected = (gate / (1 + torch.exp(-gate)) * up) @ mlp.down.weight.T + mlp.down.bias
    assert torch.allclose(mlp(x), expected)
    assert mlp.gate.out_features == 43  # 8/3 × 16 = 42.7, up to a multiple of 1


def test_untied_head_is_a_weight_of_its_own():
    model = lively("gpt2 + untied_embeddings")
    assert model.head.output.weight.shape == (30, 16)
    tokens = torch.randint(0, 30, (1, 10))
    assert torch.allclose(model(tokens), model.hidden(tokens, Flow()) @ model.head.output.weight.T)


def test_no_bias_leaves_none():
    assert not [n for n, _ in lively("gpt2 + no_bias").named_parameters() if "bias" in n]
    assert [n for n, _ in lively("gpt2").named_parameters() if "bias" in n]
