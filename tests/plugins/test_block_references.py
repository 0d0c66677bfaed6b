"""Feed-forwards, joins, initial values, heads and families against formulas written here."""

import math

import pytest
import torch
import torch.nn.functional as F

import ablab
from ablab.arch.composition.expression import resolve
from ablab.arch.modules.context import ForwardContext
from tests.plugins.small import DIMS, DOUBLE, lively


def normal(*shape):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def gelu(x):
    """Its tanh form (Hendrycks & Gimpel 2016, section 2)."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def test_geglu():
    mlp, x = lively("gpt2 + geglu").blocks[0].mlp, normal(5, 16)
    gate, up = (x @ p.weight.T + p.bias for p in (mlp.gate, mlp.up))
    assert torch.allclose(mlp(x), (gelu(gate) * up) @ mlp.down.weight.T + mlp.down.bias, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ("", 172),  # 8/3 × 64 = 170.7, up to a multiple of min(256, 64 / 16) = 4
        ("(multiple=1)", 171),
        ("(multiple=3)", 171),
        ("(factor=4)", 256),
        ("(factor=1.5, multiple=1)", 96),
    ],
)
@pytest.mark.parametrize("name", ["geglu", "swiglu"])
def test_the_width_of_a_gated_feed_forward(name, options, hidden):
    mlp = ablab.build(f"gpt2 + {name}{options}", **{**DIMS, "width": 64}).blocks[0].mlp
    assert (mlp.gate.out_features, mlp.up.out_features, mlp.down.in_features) == (
        hidden,
        hidden,
        hidden,
    )


@pytest.mark.parametrize(
    ("name", "activation"),
    [("relu", lambda x: x.clamp(min=0)), ("relu_squared", lambda x: x.clamp(min=0) ** 2)],
)
def test_relu_and_its_square(name, activation):
    mlp, x = lively(f"gpt2 + {name}").blocks[0].mlp, normal(5, 16)
    expected = activation(x @ mlp.up.weight.T + mlp.up.bias) @ mlp.down.weight.T + mlp.down.bias
    assert torch.allclose(mlp(x), expected, atol=1e-12)


def test_sandwich_norm_norms_what_a_branch_gives_before_the_sum():
    model = lively("gpt2 - pre_norm + sandwich_norm")
    block, x = model.blocks[0], normal(1, 10, 16)
    expected = x
    for name in ("mixer", "mlp"):
        join, branch = block.join[name], getattr(block, name)
        before = F.layer_norm(expected, (16,), join.norm.weight, join.norm.bias)
        expected = expected + F.layer_norm(
            branch(before), (16,), join.after.weight, join.after.bias
        )
    assert torch.allclose(block(x, ForwardContext()), expected, atol=1e-12)
    tokens = torch.arange(10).unsqueeze(0)
    last = block(model.position(model.embedding(tokens)), ForwardContext())
    final = F.layer_norm(last, (16,), model.final.weight, model.final.bias)
    assert torch.allclose(model(tokens), final @ model.embedding.weight.T, atol=1e-12)


def test_fan_in_init():
    model = ablab.build(
        "gpt2 - scaled_init + fan_in_init + swiglu(factor=4)",
        **{**DIMS, "width": 64, "heads": 2, "vocab": 500},
    )
    block = model.blocks[0]
    for matrix, inputs in (
        (block.mixer.q, 64),
        (block.mixer.o, 64),
        (block.mlp.gate, 64),
        (block.mlp.up, 64),
        (block.mlp.down, 256),
    ):
        assert matrix.weight.std().item() == pytest.approx(1 / math.sqrt(inputs), rel=0.05)
        assert matrix.weight.mean().item() == pytest.approx(0, abs=0.01)
    assert model.embedding.weight.std().item() == pytest.approx(1, rel=0.05)


def test_tied_embeddings():
    tied, untied = (
        lively(f"llama {terms}") for terms in ("- untied_embeddings + tied_embeddings", "")
    )
    tokens = torch.arange(10).unsqueeze(0)
    assert torch.allclose(
        tied(tokens), tied.hidden(tokens, ForwardContext()) @ tied.embedding.weight.T, atol=1e-12
    )
    assert set(dict(untied.named_parameters())) - set(dict(tied.named_parameters())) == {
        "head.output.weight"
    }


# What each family is, from its paper (see the changes in the order that the field made them).
FAMILIES = {
    "gpt1": set(),
    "gpt2": {"pre_norm", "scaled_init"},
    "gpt3": {"pre_norm", "scaled_init", "sparse_attention"},
    "megatron": {"pre_norm", "scaled_init", "padded_vocab"},
    "palm": {
        "pre_norm",
        "parallel_block",
        "mqa",
        "swiglu(factor=4.0)",
        "rope",
        "no_bias",
        "fan_in_init",
        "logit_scale",
    },
    "llama": {"pre_norm", "rmsnorm", "swiglu", "rope", "no_bias", "untied_embeddings"},
}


@pytest.mark.parametrize(("name", "plugins"), FAMILIES.items())
def test_what_a_family_is(name, plugins, registry):
    assert {str(use) for use in resolve(name, registry).uses.values()} == plugins


def test_palms_logits_and_initial_values():
    model = ablab.build("palm", **{**DIMS, "width": 64, "vocab": 500})
    assert model.embedding.weight.std().item() == pytest.approx(1, rel=0.05)
    assert model.blocks[0].mlp.down.weight.std().item() == pytest.approx(
        1 / math.sqrt(256), rel=0.05
    )
    tokens = torch.arange(10).unsqueeze(0)
    assert torch.allclose(
        model(tokens),
        model.hidden(tokens, ForwardContext()) @ model.embedding.weight.T / 8,
        atol=1e-5,
    )


def test_gpt3_alternates():
    patterns = [block.mixer.attend for block in ablab.build("gpt3", **{**DIMS, "layers": 4}).blocks]
    assert [attend.pairs(500) for attend in patterns] == [
        2 * 500 * 501 // 2,
        2 * (128 * 129 // 2 + 372 * 128),
    ] * 2
