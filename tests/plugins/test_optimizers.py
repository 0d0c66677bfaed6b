"""Each optimizer against a plain slow version written here, on a small model with weights of every
role.
"""

import copy
import math

import pytest
import torch

import ablab
from ablab.arch.decoder.build import build_model
from ablab.arch.recipe import Recipe
from ablab.arch.roles import weights
from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.train.module import TrainedDecoder

DIMS = {"layers": 1, "width": 16, "heads": 2, "vocab": 30, "context": 8}
LR, DECAY = 0.02, 0.1


def optimizer_of(registry, text, model):
    from ablab.arch.composition.compose import Composite
    from ablab.arch.composition.expression import resolve

    recipe = (
        resolve(f"gpt2 + {text}", registry)
        .compose(Composite(recipe=Recipe(lr=LR, weight_decay=DECAY)))
        .recipe
    )
    optimizer = TrainedDecoder(model, recipe, None, Batches(((1, 1),))).configure_optimizers()
    for group in optimizer.param_groups:
        assert group["lr"] == LR
    return optimizer


def model_of(expression="gpt2 + untied_embeddings"):
    return ablab.build(expression, seed=1, **DIMS).double()


def loss_of(model, step):
    tokens = torch.randint(0, 30, (2, 9), generator=torch.Generator().manual_seed(step))
    return model.loss(tokens[:, :-1], tokens[:, 1:]).total


def stepped(model, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()


def check(registry, text, rule, steps=4):
    """`rule(weight, grad, state, k, decay, hidden)` gives the new weight after step k."""
    mine, slow = model_of(), model_of()
    stepped(mine, optimizer_of(registry, text, mine), range(steps))
    states = {w.name: {} for w in weights(slow)}
    for step in range(steps):
        slow.zero_grad()
        loss_of(slow, step).backward()
        with torch.no_grad():
            for w in weights(slow):
                hidden = w.parameter.ndim == 2 and ".blocks." in f".{w.name}"
                decay = DECAY if w.parameter.ndim == 2 else 0.0
                w.parameter.copy_(
                    rule(
                        w.parameter.clone(),
                        w.parameter.grad,
                        states[w.name],
                        step + 1,
                        decay,
                        hidden,
                    )
                )
    for a, b in zip(mine.parameters(), slow.parameters(), strict=True):
        # The bias of the keys has no gradient but rounding, which these optimizers blow up: hence
        # no smaller tolerance.
        assert torch.allclose(a, b, rtol=0, atol=1e-8)
    assert not torch.allclose(mine.embedding.weight, model_of().embedding.weight)


def adam_rule(beta1, beta2, *, decoupled):
    def rule(w, g, state, k, decay, hidden):
        g = g if decoupled else g + decay * w
        state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
        state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g * g
        update = (state["m"] / (1 - beta1**k)) / ((state["v"] / (1 - beta2**k)).sqrt() + 1e-8)
        return (w * (1 - LR * decay) if decoupled else w) - LR * update

    return rule


def test_adam_puts_the_decay_into_the_gradient(registry):
    check(registry, "adam(beta1=0.8, beta2=0.99)", adam_rule(0.8, 0.99, decoupled=False))


def test_adamw_keeps_the_decay_apart(registry):
    check(registry, "adamw(beta2=0.999)", adam_rule(0.9, 0.999, decoupled=True))


def rms(x):
    return math.sqrt(sum(v * v for v in x.flatten().tolist()) / x.numel())


def test_adafactor_without_factoring_is_adam_scaled_by_each_weight(registry):
    def rule(w, g, state, k, decay, hidden):
        beta2 = 1 - k**-0.8
        state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * (g * g + 1e-30)
        u = g / state["v"].sqrt()
        u = u / max(1.0, rms(u))
        state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * u
        return w * (1 - LR * decay) - LR * max(1e-3, rms(w)) * state["m"]

    check(registry, "adafactor", rule)


def test_adafactor_factored(registry):
    def rule(w, g, state, k, decay, hidden):
        beta2, tiny = 1 - k**-0.8, torch.finfo(torch.float64).eps
        square = g * g
        if g.ndim == 2:
            state["r"] = beta2 * state.get("r", 0.0) + (1 - beta2) * square.mean(1, keepdim=True)
            state["c"] = beta2 * state.get("c", 0.0) + (1 - beta2) * square.mean(0, keepdim=True)
            v = state["r"] * state["c"] / state["r"].mean().clamp(min=tiny)
        else:
            v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * square
        u = g / v.sqrt().clamp(min=tiny)
        u = u / max(1.0, rms(u))
        return w * (1 - LR * decay) - max(1e-3, rms(w)) * min(LR, k**-0.5) * u

    check(registry, "adafactor(factored=true)", rule)


def newton_schulz(g, steps=5):
    """As published: on the wide form, a quintic in X Xᵀ."""
    wide = g if g.shape[0] <= g.shape[1] else g.T
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    return wide if g.shape[0] <= g.shape[1] else wide.T


def test_muon_on_hidden_matrices_and_adamw_on_the_rest(registry, monkeypatch):
    # In float64 the two must agree to the last digits; bfloat16 would hide a mistake behind its
    # rounding.
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.double)
    adamw = adam_rule(0.9, 0.95, decoupled=True)

    def rule(w, g, state, k, decay, hidden):
        if not hidden:
            return adamw(w, g, state, k, decay, hidden)
        state["b"] = 0.9 * state.get("b", 0.0) + 0.1 * g
        update = newton_schulz(0.1 * g + 0.9 * state["b"])
        return w * (1 - LR * decay) - LR * 0.2 * math.sqrt(max(w.shape)) * update

    check(registry, "muon(momentum=0.9)", rule)


def test_muon_orthogonalises_every_hidden_matrix_and_nothing_else(registry):
    model = model_of()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = optimizer_of(registry, "muon", model)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    stepped(model, optimizer, [0])
    hidden = [w.name for w in weights(model) if "momentum_buffer" in optimizer.state[w.parameter]]
    assert hidden == [n for n, p in before.items() if p.ndim == 2 and n.startswith("blocks.")]
    for name in hidden:
        change = (model.get_parameter(name) - before[name]) / (
            0.2 * LR * math.sqrt(max(before[name].shape))
        )
        values = torch.linalg.svdvals(change.detach())
        assert values.max() < 1.3
        assert values.median() > 0.6


@pytest.mark.parametrize("text", ["adam", "adamw", "adafactor", "adafactor(factored=true)", "muon"])
def test_state_goes_through_a_file_and_training_goes_on_exactly(registry, text, tmp_path):
    whole, cut = model_of(), model_of()
    stepped(whole, optimizer_of(registry, text, whole), range(6))
    first = optimizer_of(registry, text, cut)
    stepped(cut, first, range(3))
    torch.save({"optimizer": first.state_dict(), "model": cut.state_dict()}, tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    resumed = model_of()
    resumed.load_state_dict(content["model"])
    second = optimizer_of(registry, text, resumed)
    second.load_state_dict(content["optimizer"])
    stepped(resumed, second, range(3, 6))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_composite_follows_its_groups_learning_rate_after_loading_and_copying(registry):
    model = model_of()
    optimizer = optimizer_of(registry, "muon", model)
    stepped(model, optimizer, [0])
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert len(optimizer.param_groups) == sum(len(part.param_groups) for part in optimizer.parts)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    stepped(model, optimizer, [1])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    loss = optimizer.step(lambda: loss_of(model, 2))
    assert loss.requires_grad


def test_only_matrices_and_tables_decay_and_only_hidden_matrices_are_matrices(registry):
    model = build_model(model_of().arch, 0)
    names = {w.parameter: w.name for w in weights(model)}
    for group in optimizer_of(registry, "adamw", model).param_groups:
        for p in group["params"]:
            assert group["weight_decay"] == (DECAY if p.ndim == 2 else 0.0)
            assert group["matrix"] == (p.ndim == 2 and names[p].startswith("blocks."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam(beta2=1.0)", "adam(beta2=1.0): Input should be less than 1"),
        ("adamw(beta3=0.9)", "no option of adamw named 'beta3' (did you mean"),
        ("muon(momentum=-1)", "muon(momentum=-1): Input should be greater than or equal to 0"),
        ("adafactor(factored=true, beta1=0.9)", "keeps no first moment"),
        ("adafactor(clip=0.5)", "adafactor(clip=0.5)"),
        ("adam + muon", "'adam' and 'muon' conflict: both write `recipe.optimizer`"),
        ("wsd(shape=round)", "wsd(shape='round'): Input should be 'linear' or 'sqrt'"),
        ("inverse_sqrt(hold=0)", "inverse_sqrt(hold=0)"),
        ("cosine(floor=2)", "cosine(floor=2)"),
        ("batch_ramp(start=0)", "batch_ramp(start=0)"),
        ("z_loss(coefficient=-1)", "z_loss(coefficient=-1)"),
        ("bf16 + fp32", "both write `recipe.precision`"),
    ],
)
def test_bad_options(registry, text, message):
    with pytest.raises(UserError) as error:
        optimizer_of(registry, text, model_of())
    assert message in str(error.value)
