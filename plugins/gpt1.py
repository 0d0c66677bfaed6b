"""GPT-1: the base decoder."""

from typing import Any

from ablab.plugin import (
    Architecture,
    Dims,
    Edit,
    Family,
    Match,
    RecipePreset,
    TiedHead,
    TransformersForm,
    UntiedHead,
)


class _InTransformers(TransformersForm):
    """OpenAIGPTLMHeadModel, with the default widths of the feed-forward and of the heads only."""

    model_type = "openai-gpt"
    free = (
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    )
    matches = (
        Match("transformer.tokens_embed", ("embedding",)),
        Match("transformer.positions_embed", ("position.table",)),
        Match(
            "transformer.h.{}.attn.c_attn",
            ("blocks.{}.mixer.q", "blocks.{}.mixer.k", "blocks.{}.mixer.v"),
            transposed=True,
        ),
        Match("transformer.h.{}.attn.c_proj", ("blocks.{}.mixer.o",), transposed=True),
        Match("transformer.h.{}.ln_1", ("blocks.{}.join.mixer.norm",)),
        Match("transformer.h.{}.mlp.c_fc", ("blocks.{}.mlp.up",), transposed=True),
        Match("transformer.h.{}.mlp.c_proj", ("blocks.{}.mlp.down",), transposed=True),
        Match("transformer.h.{}.ln_2", ("blocks.{}.join.mlp.norm",)),
        Match("lm_head", ("head.output",)),
    )

    def dims(self, config: Any) -> Dims:
        """Return the sizes; a head is always width / heads wide."""
        return Dims(
            layers=config.n_layer,
            width=config.n_embd,
            heads=config.n_head,
            vocab=config.vocab_size,
            context=config.n_positions,
        )

    def edit(self, config: Any, base: Architecture) -> Edit:
        """Return the epsilon of the norm, and the head if it is untied."""
        edit: Edit = {"norm.eps": config.layer_norm_epsilon}
        return edit if config.tie_word_embeddings else {**edit, "head": UntiedHead()}

    def settings(self, arch: Architecture) -> dict[str, Any]:
        """Return sizes, epsilon, dropout, and whether the head is tied."""
        dims = arch.dims
        return {
            "n_layer": dims.layers,
            "n_embd": dims.width,
            "n_head": dims.heads,
            "vocab_size": dims.vocab,
            "n_positions": dims.context,
            "layer_norm_epsilon": getattr(arch.norm, "eps", 1e-5),
            "resid_pdrop": arch.dropout,
            "embd_pdrop": arch.dropout,
            "attn_pdrop": arch.dropout,
            "tie_word_embeddings": arch.head == TiedHead(),
        }


GPT1 = Family(
    name="gpt1",
    summary=(
        "Post-norm LayerNorm, learned positions, GELU, multi-head attention, biases, tied "
        "embeddings."
    ),
    source="Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
    plugins="",
    sizes={"117M": Dims(layers=12, width=768, heads=12, vocab=40478, context=512)},
    form=_InTransformers(),
    # Section 4.1. Decay that is apart from the gradient is AdamW's; β are Adam's defaults. 2,000
    # warm-up updates of about 3 million (100 epochs) are 0.07 % of them, less than one step of a
    # small budget: 1 % here.
    recipe=RecipePreset(
        lr=2.5e-4,
        batch_tokens=64 * 512,
        optimizer="adamw(beta2=0.999)",
        schedule="cosine(floor=0.0)",
        warmup=0.01,
        weight_decay=0.01,
        plugins="dropout(p=0.1)",
    ),
)
