"""Schedules at named points, the z-loss, precision and activation checkpointing, against what the
papers say.
"""

import math

import pytest
import torch
import torch.nn.functional as F

import ablab
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import resolve
from ablab.arch.counting.account import account
from ablab.arch.recipe import Recipe

DIMS = {"layers": 3, "width": 16, "heads": 2, "vocab": 30, "context": 8}


def recipe_of(registry, text, **settings):
    return (
        resolve(f"gpt2 + {text}", registry)
        .compose(Composite(recipe=Recipe(lr=1.0, **settings)))
        .recipe
    )


@pytest.mark.parametrize(
    ("text", "warmup", "points"),
    [
        ("cosine", 0.0, {0.0: 1.0, 0.5: 0.55, 1.0: 0.1}),
        ("cosine(floor=0)", 0.2, {0.1: 0.5, 0.2: 1.0, 0.6: 0.5, 1.0: 0.0}),
        ("linear", 0.2, {0.1: 0.5, 0.2: 1.0, 0.6: 0.5, 1.0: 0.0}),
        ("linear(floor=0.5)", 0.0, {0.0: 1.0, 0.5: 0.75, 1.0: 0.5}),
        ("inverse_sqrt(hold=0.04)", 0.0, {0.0: 1.0, 0.04: 1.0, 0.16: 0.5, 1.0: 0.2}),
        ("inverse_sqrt(hold=0.04)", 0.02, {0.01: 0.5, 0.02: 1.0, 0.04: 1.0, 0.16: 0.5}),
        ("wsd", 0.1, {0.05: 0.5, 0.1: 1.0, 0.5: 1.0, 0.8: 1.0, 0.9: 0.5, 1.0: 0.0}),
        ("wsd(decay=0.1, floor=0.1)", 0.0, {0.9: 1.0, 0.95: 0.55, 1.0: 0.1}),
        ("wsd(decay=0.4, shape=sqrt)", 0.0, {0.6: 1.0, 0.7: 0.5, 1.0: 0.0}),
        ("wsd(decay=1.0)", 0.2, {0.2: 1.0, 0.6: 0.5, 1.0: 0.0}),
    ],
)
def test_schedules_at_named_points(registry, text, warmup, points):
    recipe = recipe_of(registry, text, warmup=warmup)
    assert {share: recipe.lr_at(share) for share in points} == pytest.approx(points, abs=1e-12)


def test_inverse_sqrt_is_the_first_transformers(registry):
    """Vaswani et al. 2017, equation 3: min(k^-0.5, k · warm^-1.5), here in units of its peak."""
    steps, warm = 1000, 100
    recipe = recipe_of(registry, "inverse_sqrt", warmup=warm / steps)
    for k in (1, 50, 99, 100, 101, 400, 1000):
        expected = min(k**-0.5, k * warm**-1.5) / warm**-0.5
        assert recipe.lr_at(k / steps) == pytest.approx(expected)


def test_the_z_loss_and_its_gradient_on_whole_logits(registry):
    from ablab.arch.modules.loss import head_loss

    terms = [term for _, term in recipe_of(registry, "z_loss").loss.entries]
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(70, 8, dtype=torch.float64, generator=generator).requires_grad_()
    weight = (4 * torch.randn(50, 8, dtype=torch.float64, generator=generator)).requires_grad_()
    targets = torch.randint(0, 50, (70,), generator=generator)
    logits = hidden @ weight.T
    expected = F.cross_entropy(logits, targets) + 1e-4 * (logits.exp().sum(-1).log() ** 2).mean()
    result = head_loss(F.linear, (hidden, weight), targets, terms)
    assert result.total.item() == pytest.approx(expected.item(), abs=1e-12)
    mine, theirs = (
        torch.autograd.grad(loss, (hidden, weight)) for loss in (result.total, expected)
    )
    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(mine, theirs, strict=True))
    plain = torch.autograd.grad(head_loss(F.linear, (hidden, weight), targets).total, hidden)[0]
    assert not torch.allclose(mine[0], plain)


def test_precision(registry):
    assert recipe_of(registry, "bf16", precision="fp32").precision == "bf16"
    assert recipe_of(registry, "fp32", precision="bf16").precision == "fp32"


def test_checkpointing_computes_blocks_again_and_changes_no_gradient(registry):
    assert recipe_of(registry, "activation_checkpointing").checkpointing
    tokens = torch.randint(0, 30, (2, 9), generator=torch.Generator().manual_seed(0))
    gradients, forwards, kept = [], [], []
    for checkpointing in (False, True):
        model = ablab.build("llama", seed=1, **DIMS).double()
        model.checkpointing = checkpointing
        count, sizes = [], []
        for block in model.blocks:
            block.register_forward_pre_hook(lambda *_, count=count: count.append(1))
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=sizes: (s.append(t.numel()), t)[1], lambda t: t
        ):
            loss = model.loss(tokens[:, :-1], tokens[:, 1:]).total
        kept.append(sum(sizes))
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
        forwards.append(len(count))
        with torch.no_grad():
            model.loss(tokens[:, :-1], tokens[:, 1:])
        assert len(count) == forwards[-1] + 3
    assert forwards == [3, 6]
    assert kept[1] < kept[0] / 4
    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(*gradients, strict=True))


def test_checkpointing_is_no_part_of_the_flops_counted(registry):
    model = resolve("llama + activation_checkpointing", registry)
    from ablab.arch.composition.model import composite

    with_it = composite(model, Composite(), DIMS)
    assert with_it.recipe.checkpointing
    without = composite(resolve("llama", registry), Composite(), DIMS)
    assert account(with_it.arch) == account(without.arch)
    assert math.isfinite(account(with_it.arch).flops_per_token.training)
