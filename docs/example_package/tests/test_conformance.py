"""The package's plugins, held to ablab's conformance suite."""

import torch

import ablab
from ablab.testing import Conformance

SIZES = {"layers": 3, "width": 16, "heads": 2, "vocab": 11, "context": 9}


class TestDecayMixer(Conformance):
    expression = "gpt2 + decay_mixer"


class TestExperts(Conformance):
    expression = "llama - swiglu + experts"


class TestValueResidual(Conformance):
    expression = "gpt2 + value_residual"


class TestAllThatGoTogether(Conformance):
    expression = "gpt1 + parallel_block + experts(count=2) + decay_mixer"


def test_the_recurrence_is_the_loop():
    mixer = ablab.build("gpt2 + decay_mixer", **SIZES).blocks[0].mixer
    x = torch.randn(2, 9, 16)
    rate, state, expected = mixer.decay.sigmoid(), torch.zeros(2, 16), []
    for t in range(9):
        state = rate * state + (1 - rate) * mixer.value(x[:, t])
        expected.append(mixer.out(state * mixer.gate(x[:, t]).sigmoid()))
    assert torch.allclose(mixer(x), torch.stack(expected, 1), atol=1e-6)


def test_the_balance_is_part_of_what_is_minimised():
    tokens = torch.randint(0, 11, (2, 9))
    plain, balanced = (ablab.build(f"gpt2 + experts(balance={b})", **SIZES) for b in (0.0, 1.0))
    # Balanced loads give 1 a layer, the least there is; each layer adds its own.
    added = balanced.loss(tokens, tokens).total - plain.loss(tokens, tokens).total
    assert 3 * 0.99 <= added.item() <= 3 * 4
    assert torch.equal(balanced.loss(tokens, tokens).nll, plain.loss(tokens, tokens).nll)


def test_checkpointing_carries_values_too():
    tokens, grads = torch.randint(0, 11, (2, 9)), []
    for again in (False, True):
        model = ablab.build("gpt2 + value_residual + experts", **SIZES).double()
        model.checkpointing = again
        model.loss(tokens, tokens).total.backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-14) for a, b in zip(*grads, strict=True))


def test_the_first_layers_values_reach_the_last():
    model = ablab.build("gpt2 + value_residual", **SIZES).double()
    mixer = model.blocks[0].mixer
    mixer.o.weight.data.zero_()  # the first layer's own output says nothing of its values
    tokens = torch.randint(0, 11, (2, 9))
    before = model(tokens)
    mixer.v.weight.data.mul_(3)
    assert not torch.allclose(model(tokens), before, atol=1e-6)
