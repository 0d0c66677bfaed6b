"""Initial values: seeded by name, scaled by role."""

import pytest
import torch

import ablab
from ablab.arch.roles import Kind, weights

DIMS = {"layers": 4, "width": 64, "heads": 4, "vocab": 400, "context": 32}


def parameters(expression, **kwargs):
    return dict(ablab.build(expression, **{**DIMS, **kwargs}).named_parameters())


def test_a_weight_that_two_arms_share_starts_equal():
    gpt2, llama = parameters("gpt2 - scaled_init"), parameters("llama")
    shared = {n for n in set(gpt2) & set(llama) if gpt2[n].shape == llama[n].shape}
    assert any("mixer.q.weight" in n for n in shared)
    assert all(torch.equal(gpt2[n], llama[n]) for n in shared)


def test_up_to_the_scale_of_its_init():
    plain, scaled = parameters("gpt2 - scaled_init"), parameters("gpt2")
    for name in plain:
        factor = (
            8**-0.5 if name.endswith(("mixer.o.weight", "mlp.down.weight")) else 1.0
        )  # 2 × 4 residual branches
        assert torch.allclose(plain[name] * factor, scaled[name], rtol=1e-6), name


def test_seeds_and_names_give_different_values():
    first, second = parameters("gpt2", seed=0), parameters("gpt2", seed=1)
    assert not torch.equal(first["embedding.weight"], second["embedding.weight"])
    assert not torch.equal(first["blocks.0.mixer.q.weight"], first["blocks.1.mixer.q.weight"])


def test_base_values():
    values = parameters("gpt1")
    assert values["embedding.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert values["blocks.0.mlp.up.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert (values["blocks.0.mlp.up.bias"] == 0).all()
    assert (values["blocks.0.join.mlp.norm.weight"] == 1).all()


def test_nothing_outside_is_drawn_from_or_moved():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    ablab.build("llama", **DIMS)
    assert torch.equal(torch.rand(1), expected)


def test_only_matrices_and_embeddings_decay():
    model = ablab.build("gpt2", **DIMS)
    for weight in weights(model):
        assert weight.role is not None, weight.name
        assert weight.decays == (weight.parameter.ndim == 2), weight.name
    assert {w.role.kind for w in weights(model) if w.role} == set(Kind)
