"""The chunked loss against torch's cross entropy on whole logits."""

import pytest
import torch
import torch.nn.functional as F

from ablab.arch.modules import loss as module
from ablab.arch.modules.loss import head_loss
from ablab.targets import IGNORED


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(200, 8, dtype=torch.float64, generator=generator).requires_grad_()
    weight = torch.randn(50, 8, dtype=torch.float64, generator=generator).requires_grad_()
    targets = torch.randint(0, 50, (200,), generator=generator)
    targets[::7] = IGNORED
    return hidden, weight, targets


@pytest.mark.parametrize("logits_per_chunk", [1, 50 * 64, 1 << 22])
def test_loss_and_gradients_equal_cross_entropy(case, logits_per_chunk, monkeypatch):
    monkeypatch.setattr(module, "_LOGITS_PER_CHUNK", logits_per_chunk)
    hidden, weight, targets = case
    expected = F.cross_entropy(F.linear(hidden, weight), targets, ignore_index=IGNORED)
    gradients = torch.autograd.grad(expected, (hidden, weight))
    result = head_loss(F.linear, (hidden, weight), targets)
    assert torch.allclose(result.total, expected, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad(result.total, (hidden, weight)), gradients, strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(
            head_loss(F.linear, (hidden, weight), targets).total, expected, atol=1e-12
        )


def test_a_term_of_log_z_is_added_and_differentiated(case):
    hidden, weight, targets = case
    logits = F.linear(hidden, weight)
    kept = targets != IGNORED
    expected = (
        F.cross_entropy(logits, targets, ignore_index=IGNORED)
        + 0.01 * (logits.logsumexp(-1)[kept] ** 2).mean()
    )
    gradients = torch.autograd.grad(expected, (hidden, weight))
    result = head_loss(F.linear, (hidden, weight), targets, [lambda log_z, target: 0.01 * log_z**2])
    assert torch.allclose(result.total, expected, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad(result.total, (hidden, weight)), gradients, strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-12)
    # What is reported is the cross entropy alone.
    assert torch.allclose(
        result.nll, F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    )


def test_the_full_logits_never_exist(monkeypatch):
    sizes = []

    def project(hidden, weight):
        sizes.append(len(hidden))
        return F.linear(hidden, weight)

    monkeypatch.setattr(module, "_LOGITS_PER_CHUNK", 64 * 100)
    hidden, weight = (
        torch.randn(1000, 8, requires_grad=True),
        torch.randn(100, 8, requires_grad=True),
    )
    head_loss(project, (hidden, weight), torch.zeros(1000, dtype=torch.long)).total.backward()
    assert max(sizes) == 64
    assert sum(sizes) == 1000
