"""Families against the transformers library over long contexts, with every weight, gains too, drawn
at N(0, 0.2).
"""

import pytest
import torch

import ablab

transformers = pytest.importorskip("transformers")

WIDTH, LAYERS = 256, 3
GPT = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "vocab_size": 1000}
LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 688,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "vocab_size": 1000,
}
CASES = {
    "gpt1 512": ("openai-gpt", {**GPT, "n_positions": 512}, 1e-9),
    "gpt2 512": ("gpt2", {**GPT, "n_positions": 512}, 1e-9),
    "gpt2 1024": ("gpt2", {**GPT, "n_positions": 1024}, 1e-9),
    "llama 512": ("llama", {**LLAMA, "max_position_embeddings": 512}, 1e-5),
    "llama 1024 grouped": (
        "llama",
        {**LLAMA, "max_position_embeddings": 1024, "num_key_value_heads": 2},
        1e-5,
    ),
}


@pytest.mark.parametrize(("kind", "settings", "exact"), CASES.values(), ids=CASES)
def test_the_same_logits_over_the_full_context(kind, settings, exact):
    """Literally: each weight of the model, be it a matrix, a table, a bias or a norm's gain, is
    drawn at N(0, 0.2).
    """
    config = transformers.AutoConfig.for_model(
        kind, bos_token_id=None, eos_token_id=None, **settings
    )
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in theirs.parameters():
        parameter.data.normal_(0.0, 0.2, generator=generator)
    tokens = torch.randint(0, 1000, (1, config.max_position_embeddings), generator=generator)
    for dtype, bound in ((torch.float32, 1e-4), (torch.float64, exact)):
        theirs = theirs.to(dtype)
        ours = ablab.from_hf(theirs)
        with torch.no_grad():
            logits = theirs(tokens).logits
            assert logits.std() > 0.1
            assert (logits - ours(tokens)).abs().max().item() <= bound
