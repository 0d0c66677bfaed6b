"""Families against the transformers library, both ways: logits, weights, and what is refused."""

import pytest
import torch

import ablab
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.decoder.build import build_model
from ablab.errors import UserError
from ablab.hf.exchange import nearest_form

transformers = pytest.importorskip("transformers")
llama_code = pytest.importorskip("transformers.models.llama.modeling_llama")

GPT = {"vocab_size": 101, "n_positions": 33, "n_embd": 48, "n_layer": 3, "n_head": 3}
LLAMA = {
    "vocab_size": 101,
    "max_position_embeddings": 33,
    "hidden_size": 48,
    "intermediate_size": 77,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
}
NO_TOKENS = {"bos_token_id": None, "eos_token_id": None}
CASES = {
    "gpt1": ("openai-gpt", GPT),
    "gpt1 eps": ("openai-gpt", {**GPT, "layer_norm_epsilon": 1e-2}),
    "gpt1 tiny": (
        "openai-gpt",
        {**GPT, "vocab_size": 3, "n_positions": 2, "n_embd": 6, "n_head": 1, "n_layer": 1},
    ),
    "gpt2": ("gpt2", GPT),
    "gpt2 inner eps": ("gpt2", {**GPT, "n_inner": 101, "layer_norm_epsilon": 1e-2}),
    "gpt2 same gelu": ("gpt2", {**GPT, "activation_function": "gelu_pytorch_tanh"}),
    "gpt2 same inner": ("gpt2", {**GPT, "n_inner": 192}),
    "gpt2 tiny": (
        "gpt2",
        {**GPT, "vocab_size": 3, "n_positions": 2, "n_embd": 6, "n_head": 1, "n_layer": 1},
    ),
    "gpt1 untied": ("openai-gpt", {**GPT, "tie_word_embeddings": False}),
    "gpt2 untied": ("gpt2", {**GPT, "tie_word_embeddings": False}),
    "llama": ("llama", LLAMA),
    "llama grouped": ("llama", {**LLAMA, "num_key_value_heads": 2}),
    "llama one kv head": ("llama", {**LLAMA, "num_key_value_heads": 1}),
    "llama head_dim": ("llama", {**LLAMA, "head_dim": 20, "num_key_value_heads": 3}),
    "llama base eps": ("llama", {**LLAMA, "rope_theta": 500.0, "rms_norm_eps": 1e-2}),
    "llama tied": ("llama", {**LLAMA, "tie_word_embeddings": True}),
    "llama usual width": ("llama", {**LLAMA, "intermediate_size": 129}),
    "llama long": ("llama", {**LLAMA, "max_position_embeddings": 300}),
}
each_case = pytest.mark.parametrize(("kind", "settings"), CASES.values(), ids=CASES)
EXPRESSIONS = {
    "gpt1": "openai-gpt",
    "gpt2": "gpt2",
    "gpt2 - scaled_init": "gpt2",
    "gpt2 + untied_embeddings": "gpt2",
    "gpt1 + dropout": "openai-gpt",
    "llama + dropout": "llama",
    "llama": "llama",
    "llama + scaled_init": "llama",
    "llama + rope(base=500) + rmsnorm(eps=0.01) + swiglu(factor=3)": "llama",
    "llama - untied_embeddings": "llama",
}


def made(kind, settings, dtype=torch.float32):
    """Their model with weights at N(0, 0.2), biases too, and gains at N(1, 0.2)."""
    config = transformers.AutoConfig.for_model(kind, **NO_TOKENS, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    return lively(model).to(dtype)


def lively(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + gain)
    return model


def distance(theirs, ours):
    """The largest difference of their logits and ours, over the full context."""
    generator = torch.Generator().manual_seed(1)
    dims = ours.arch.dims
    tokens = torch.randint(0, dims.vocab, (2, dims.context), generator=generator)
    with torch.no_grad():
        return (theirs(tokens).logits - ours(tokens)).abs().max().item()


def same_weights(a, b):
    pairs = zip(a.named_parameters(), b.named_parameters(), strict=True)
    return all(m == n and p.dtype == q.dtype and torch.equal(p, q) for (m, p), (n, q) in pairs)


@each_case
def test_the_same_logits_in_float32(kind, settings):
    theirs = made(kind, settings)
    assert distance(theirs, ablab.from_hf(theirs)) <= 1e-4


@each_case
def test_the_same_logits_in_float64(kind, settings):
    theirs = made(kind, settings, torch.float64)
    assert distance(theirs, ablab.from_hf(theirs)) <= (1e-5 if kind == "llama" else 1e-9)


@pytest.mark.parametrize(
    "settings", [settings for kind, settings in CASES.values() if kind == "llama"]
)
def test_nothing_but_the_float32_of_its_norm_parts_us_from_llama(settings, monkeypatch):
    monkeypatch.setattr(llama_code.LlamaRMSNorm, "forward", exact_norm)
    theirs = made("llama", settings, torch.float64)
    assert distance(theirs, ablab.from_hf(theirs)) <= 1e-9


def exact_norm(self, x):
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_there_and_back_bit_for_bit(kind, settings, dtype):
    theirs = made(kind, settings, dtype)
    ours = ablab.from_hf(theirs)
    back = ablab.to_hf(ours)
    assert type(back) is type(theirs)
    assert same_weights(back, theirs)
    again = ablab.from_hf(back)
    assert again.arch == ours.arch
    assert same_weights(again, ours)
    assert all(p.is_contiguous() for p in ours.parameters())


@pytest.mark.parametrize(("expression", "kind"), EXPRESSIONS.items())
def test_our_models_there_and_back(expression, kind, registry):
    ours = lively(ablab.build(expression, layers=2, width=32, heads=4, vocab=61, context=12)).eval()
    state = torch.get_rng_state()
    theirs = ablab.to_hf(ours)
    assert torch.equal(torch.get_rng_state(), state)
    assert theirs.config.model_type == kind
    assert not theirs.training
    assert distance(theirs, ours) <= 1e-4
    back = ablab.from_hf(theirs)
    assert same_weights(back, ours)
    assert nearest_form(back.arch, registry).misfits == ()


@pytest.mark.parametrize("name", sorted(load_registry().plugins))
@pytest.mark.parametrize("family", ["gpt1", "gpt2", "llama"])
def test_whatever_is_added_is_said_or_refused(family, name):
    try:
        ours = lively(
            ablab.build(f"{family} + {name}", layers=2, width=32, heads=4, vocab=61, context=12)
        ).eval()
        theirs = ablab.to_hf(ours)
    except UserError:
        return  # it is there already, or has no form
    assert distance(theirs, ours) <= 1e-4


@pytest.mark.parametrize("family", ["gpt1", "gpt2"])
def test_dropout_is_said_where_there_is_a_place_for_it(family):
    config = ablab.to_hf(
        ablab.build(f"{family} + dropout(p=0.2)", layers=1, width=16, heads=2, vocab=11, context=4)
    ).config
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.2, 0.2, 0.2)


def test_weights_are_copies():
    theirs = made("gpt2", GPT)
    ours = ablab.from_hf(theirs)
    before = theirs.transformer.wte.weight.clone()
    with torch.no_grad():
        ours.embedding.weight.zero_()
    assert torch.equal(theirs.transformer.wte.weight, before)


@pytest.mark.parametrize("name", ["gpt1:117M", "gpt2:355M", "llama:7B", "llama:65B"])
def test_named_sizes_are_their_usual_configs(name, registry):
    """Nothing but the initial values and what a plugin's option says is lost on the way, whatever
    the size.
    """
    arch = architecture(name, registry, {})
    fit = nearest_form(arch, registry)
    assert fit.misfits == ()
    config = transformers.AutoConfig.for_model(
        fit.form.model_type, **NO_TOKENS, **fit.form.settings(arch)
    )
    assert fit.form.architecture(config, architecture(fit.family.name, registry, {})) == arch


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        ("openai-gpt", {**GPT, "afn": "relu"}, "afn='relu'"),
        ("gpt2", {**GPT, "activation_function": "gelu"}, "activation_function='gelu'"),
        ("gpt2", {**GPT, "scale_attn_weights": False}, "scale_attn_weights=False"),
        (
            "gpt2",
            {**GPT, "scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx=True",
        ),
        ("gpt2", {**GPT, "reorder_and_upcast_attn": True}, "reorder_and_upcast_attn=True"),
        ("gpt2", {**GPT, "add_cross_attention": True}, "add_cross_attention=True"),
        ("llama", {**LLAMA, "hidden_act": "gelu"}, "hidden_act='gelu'"),
        ("llama", {**LLAMA, "attention_bias": True}, "attention_bias=True"),
        ("llama", {**LLAMA, "mlp_bias": True}, "mlp_bias=True"),
        (
            "llama",
            {**LLAMA, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
            "rope_parameters=",
        ),
    ],
)
def test_a_setting_without_a_form_is_named(kind, settings, name):
    with pytest.raises(UserError, match=rf"{kind} with {name}.*has no form here"):
        ablab.from_hf(made(kind, settings))


def test_models_without_a_form_are_refused():
    with pytest.raises(
        UserError, match=r"transformers' 'gpt_neox' \(known: gpt2, llama, openai-gpt\)"
    ):
        ablab.from_hf(
            made(
                "gpt_neox",
                {
                    "vocab_size": 11,
                    "hidden_size": 8,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 1,
                },
            )
        )
    with pytest.raises(UserError, match="transformers' 'Linear'"):
        ablab.from_hf(torch.nn.Linear(1, 1))
    with pytest.raises(
        UserError, match=r"language-model head: h\.0\.attn\.c_attn\.bias has no match"
    ):
        ablab.from_hf(made("gpt2", GPT).transformer)


def test_a_head_that_was_cut_loose_is_refused():
    theirs = made("gpt2", GPT)
    theirs.lm_head.weight = torch.nn.Parameter(theirs.lm_head.weight + 1)
    with pytest.raises(UserError, match=r"lm_head\.weight has no match"):
        ablab.from_hf(theirs)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("gpt2 + rmsnorm", "gpt2 cannot say norm$"),
        ("gpt2 + swiglu", "gpt2 cannot say mlp$"),
        ("gpt2 + no_bias", "gpt2 cannot say bias$"),
        ("llama - rope", "llama cannot say position, mixer.rotate$"),
        ("gpt1 + rope", "openai-gpt cannot say position, mixer.rotate$"),
    ],
)
def test_an_architecture_without_a_form_is_refused_by_path(expression, message):
    with pytest.raises(UserError, match=message):
        ablab.to_hf(ablab.build(expression, layers=1, width=16, heads=2, vocab=11, context=4))


def test_sizes_that_transformers_refuses(registry):
    arch = architecture(
        "llama",
        registry,
        {"layers": 1, "width": 18, "heads": 4, "head_dim": 6, "vocab": 11, "context": 4},
    )
    with pytest.raises(UserError, match=r"transformers refuses this llama: .*not a multiple"):
        ablab.to_hf(build_model(arch, 0))


def test_without_transformers(monkeypatch):
    monkeypatch.setattr("ablab.hf.exchange.importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"transformers is not installed \(`pip install 'ablab\[hf\]'`\)"
    ):
        ablab.to_hf(ablab.build("gpt2", layers=1, width=16, heads=2, vocab=11, context=4))
