"""Embeddings drawn by width: their tables, and the logits that follow from them."""

import math

import pytest
import torch

import ablab
from ablab.errors import UserError
from ablab.testing import Conformance

SIZES = {"layers": 2, "heads": 2, "vocab": 800, "context": 64}


class TestWidthInit(Conformance):
    expression = "gpt2 + width_init"


def built(expression, width):
    return ablab.build(expression, **SIZES, width=width)


@pytest.mark.parametrize(
    ("terms", "width", "tokens", "positions"),
    [
        ("", 64, 0.02, 0.02),
        ("+ width_init", 48, 0.08, 0.02),  # sqrt(768/48) = 4
        ("+ width_init", 192, 0.04, 0.02),  # sqrt(768/192) = 2
        ("+ width_init(positions=true)", 192, 0.04, 0.04),
        ("+ width_init(reference_width=1728)", 192, 0.06, 0.02),  # sqrt(1728/192) = 3
        ("+ fan_in_init", 64, 1.0, 1.0),
    ],
)
def test_the_drawn_tables(terms, width, tokens, positions):
    model = built(f"gpt2 {terms}", width)
    assert model.embedding.weight.std().item() == pytest.approx(tokens, rel=0.05)
    assert model.position.table.weight.std().item() == pytest.approx(positions, rel=0.05)


def test_nothing_changes_at_gpt2s_own_width():
    plain, scaled = (built(expression, 768) for expression in ("gpt2", "gpt2 + width_init"))
    for (name, weight), other in zip(plain.named_parameters(), scaled.parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_matrices_keep_their_init_also_in_an_untied_head():
    plain = dict(built("gpt2 + untied_embeddings", 64).named_parameters())
    scaled = dict(built("gpt2 + untied_embeddings + width_init", 64).named_parameters())
    changed = {name for name in plain if not torch.equal(plain[name], scaled[name])}
    assert changed == {"embedding.weight"}


def spread(expression, width):
    """The standard deviation over the vocabulary of initial logits, without that of the token that
    is read: a tied table favours it.
    """
    tokens = torch.randint(800, (4, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = built(expression, width)(tokens)
    others = torch.ones_like(logits, dtype=torch.bool).scatter(-1, tokens.unsqueeze(-1), False)
    return logits[others].std().item()


@pytest.mark.parametrize("width", [32, 64, 192])
def test_tied_logits_are_as_spread_as_at_width_768(width):
    """0.02 · sqrt(768), because the final norm gives hidden states the length sqrt(width)."""
    assert spread("gpt2 + width_init", width) == pytest.approx(0.02 * math.sqrt(768), rel=0.05)
    assert spread("gpt2", width) == pytest.approx(0.02 * math.sqrt(width), rel=0.05)


def test_gpt2_itself_has_that_spread():
    assert spread("gpt2", 768) == pytest.approx(0.02 * math.sqrt(768), rel=0.05)


def test_another_init_of_embeddings_conflicts():
    with pytest.raises(UserError, match=r"'fan_in_init' and 'width_init'.*`init\.embedding`"):
        built("gpt2 + fan_in_init + width_init", 64)
