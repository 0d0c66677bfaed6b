"""Each change against a plain reference written here."""

import math

import pytest
import torch

import ablab
from ablab.arch.modules.context import ForwardContext

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
    assert torch.allclose(
        block(x, ForwardContext()), after + block.mlp(block.join["mlp"].norm(after))
    )
    model = lively("gpt1 + pre_norm")
    assert model.final.weight.shape == (16,)


def test_rmsnorm():
    norm = lively("gpt2 + rmsnorm").blocks[0].join["mixer"].norm
    x = torch.randn(3, 16, dtype=torch.float64)
    assert torch.allclose(
        norm(x), norm.weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    )
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
    assert torch.allclose(
        model(tokens), model.hidden(tokens, ForwardContext()) @ model.head.output.weight.T
    )


def test_no_bias_leaves_none():
    assert not [n for n, _ in lively("gpt2 + no_bias").named_parameters() if "bias" in n]
    assert [n for n, _ in lively("gpt2").named_parameters() if "bias" in n]


def attention(mixer, x, heads, allowed, bias=lambda head, q, k: 0.0):
    """Loops over heads, queries and keys: what attention is, without a matmul over them.
    `allowed(head, q, k)`.
    """
    batch, time, _ = x.shape
    q, k, v = (
        (x @ p.weight.T + p.bias).unflatten(-1, (-1, mixer.head_dim))
        for p in (mixer.q, mixer.k, mixer.v)
    )
    kv_heads, out = k.shape[2], torch.zeros(batch, time, heads, mixer.head_dim, dtype=x.dtype)
    for head in range(heads):
        shared = head // (heads // kv_heads)
        for t in range(time):
            keys = [s for s in range(t + 1) if allowed(head, t, s)]
            scores = torch.stack(
                [
                    (q[:, t, head] * k[:, s, shared]).sum(-1) / math.sqrt(mixer.head_dim)
                    + bias(head, t, s)
                    for s in keys
                ],
                -1,
            )
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            out[:, t, head] = sum(weights[:, i, None] * v[:, s, shared] for i, s in enumerate(keys))
    return out.flatten(2) @ mixer.o.weight.T + mixer.o.bias


def near(head, q, k):
    return q - k < 3


def halves(head, q, k):
    return q - k < 3 if head < 2 else (q - k) % 3 == 0


@pytest.mark.parametrize(
    ("terms", "allowed"),
    [
        ("", lambda head, q, k: True),
        ("+ mqa", lambda head, q, k: True),
        ("+ gqa(groups=2)", lambda head, q, k: True),
        ("+ sliding_window(band=3)", near),
        ("+ sliding_window(band=3) + mqa", near),
        ("+ sparse_attention(band=3, layers='all')", near),
        ("+ sparse_attention(band=3, layers='all', strided=True)", halves),
        ("+ sparse_attention(band=3, layers='all', strided=True) + gqa(groups=2)", halves),
        ("+ sparse_attention(band=3, layers='all', strided=True) + mqa", halves),
    ],
)
@pytest.mark.parametrize("alibi", [False, True])
def test_attention_is_the_loop(terms, allowed, alibi):
    time = 70  # more than two chunks of the banded form
    mixer = (
        lively(f"gpt2 {terms} {'+ alibi' if alibi else ''}", heads=4, width=16, context=time)
        .blocks[0]
        .mixer
    )
    x = torch.randn(2, time, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def bias(
        head, q, k
    ):  # four heads: slopes 1/4, 1/16, 1/64, 1/256 (the paper's example for eight, every other)
        return -(q - k) * 0.25 ** (head + 1) if alibi else 0.0

    assert torch.allclose(
        mixer(x), attention(mixer, x, 4, allowed, bias), atol=1e-6 if alibi else 1e-12
    )


def test_alibi_slopes_are_the_papers():
    slopes = ablab.build("gpt2 + alibi", **{**DIMS, "heads": 8}).blocks[0].mixer.attend.bias.slopes
    assert slopes.tolist() == [2.0**-i for i in range(1, 9)]


def test_sinusoidal_table_is_the_papers():
    table = ablab.build("gpt2 + sinusoidal", **DIMS).position.table
    for position in range(10):
        for i in range(8):
            angle = position / 10_000 ** (2 * i / 16)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_embeddings_are_scaled_before_sinusoids_are_added():
    """Section 3.4 of the paper: multiplied by the square root of the width, 16 here."""
    position = ablab.build("gpt2 + sinusoidal", **DIMS).position
    x = torch.randn(2, 3, 16)
    assert torch.allclose(position(x, 4), 4 * x + position.table[4:7])


def test_the_parallel_block_is_palms():
    model = lively("palm", heads=2)
    block = model.blocks[0]
    x = torch.randn(1, 10, 16, dtype=torch.float64)
    normed = block.join["mixer"].norm(x)
    assert torch.allclose(block(x), x + block.mixer(normed) + block.mlp(normed), atol=1e-12)
    assert list(block.join) == ["mixer"]
    assert block.mixer.k.out_features == 8
    assert block.mlp.gate.out_features == 64


def test_the_parallel_block_after_post_norm():
    block = lively("gpt1 + parallel_block").blocks[0]
    x = torch.randn(1, 10, 16, dtype=torch.float64)
    assert torch.allclose(
        block(x), block.join["mixer"].norm(x + block.mixer(x) + block.mlp(x)), atol=1e-12
    )


def test_logits_of_palm_and_gemma():
    plain, scaled, capped = (
        lively(f"gpt2 {terms}") for terms in ("", "+ logit_scale", "+ logit_softcap(cap=2)")
    )
    tokens = torch.randint(0, 30, (1, 10))
    assert torch.allclose(scaled(tokens), plain(tokens) / 4)
    assert torch.allclose(capped(tokens), 2 * torch.tanh(plain(tokens) / 2))


def test_a_padded_vocabulary_changes_no_figure():
    plain, padded = lively("gpt2"), lively("gpt2 + padded_vocab(multiple=32)")
    assert padded.embedding.weight.shape == (32, 16)
    for (_, a), (_, b) in zip(plain.named_parameters(), padded.named_parameters(), strict=True):
        b.data[: len(a)] = a.data
    tokens = torch.randint(0, 30, (1, 10), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(
        plain(tokens), padded(tokens), atol=1e-12
    )  # a matmul of 32 columns may round otherwise than one of 30
    assert torch.allclose(
        plain.loss(tokens, tokens).total, padded.loss(tokens, tokens).total, atol=1e-12
    )


def test_qk_norm_acts_on_each_head():
    mixer = lively("gpt2 + qk_norm").blocks[0].mixer
    q = torch.randn(1, 2, 10, 8, dtype=torch.float64)
    assert torch.allclose(
        mixer.q_norm(q), mixer.q_norm.weight * q / (q.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    )


def test_rope_turns_a_share_of_the_head():
    rotate = ablab.build("gpt2 + rope(share=0.5)", **DIMS).blocks[0].mixer.rotate
    q, k = torch.randn(2, 1, 2, 10, 8)
    turned, _ = rotate(q, k)
    assert torch.equal(turned[..., 4:], q[..., 4:])
    angle = torch.arange(10) * 10_000.0 ** (-2 / 4)
    pair = torch.complex(q[..., 1], q[..., 3]) * torch.polar(torch.ones(10), angle)
    assert torch.allclose(turned[..., 1], pair.real, atol=1e-6)


def test_dropout_acts_in_training_alone():
    model = lively("gpt2 + dropout(p=0.5)")
    tokens = torch.randint(0, 30, (1, 10))
    torch.manual_seed(0)
    assert not torch.allclose(model.train()(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), lively("gpt2")(tokens))
