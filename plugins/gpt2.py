"""GPT-2: pre-norm and scaled init."""

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
    ff_width,
)


class _InTransformers(TransformersForm):
    """GPT2LMHeadModel, with a feed-forward of any width; a head is always width / heads wide."""

    model_type = "gpt2"
    free = (
        "n_inner",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    )
    same = {"activation_function": ("gelu_pytorch_tanh",)}  # noqa: RUF012
    equivalent = ("mlp.factor",)
    matches = (
        Match("transformer.wte", ("embedding",)),
        Match("transformer.wpe", ("position.table",)),
        Match("transformer.h.{}.ln_1", ("blocks.{}.join.mixer.norm",)),
        Match(
            "transformer.h.{}.attn.c_attn",
            ("blocks.{}.mixer.q", "blocks.{}.mixer.k", "blocks.{}.mixer.v"),
            transposed=True,
        ),
        Match("transformer.h.{}.attn.c_proj", ("blocks.{}.mixer.o",), transposed=True),
        Match("transformer.h.{}.ln_2", ("blocks.{}.join.mlp.norm",)),
        Match("transformer.h.{}.mlp.c_fc", ("blocks.{}.mlp.up",), transposed=True),
        Match("transformer.h.{}.mlp.c_proj", ("blocks.{}.mlp.down",), transposed=True),
        Match("transformer.ln_f", ("final",)),
        Match("lm_head", ("head.output",)),
    )

    def dims(self, config: Any) -> Dims:
        """Return the sizes of a model from its transformers configuration."""
        return Dims(
            layers=config.n_layer,
            width=config.n_embd,
            heads=config.n_head,
            vocab=config.vocab_size,
            context=config.n_positions,
        )

    def edit(self, config: Any, base: Architecture) -> Edit:
        """Return the epsilon, the width of the feed-forward, and the head if it is untied."""
        factor = 4.0 if config.n_inner is None else config.n_inner / config.n_embd
        edit: Edit = {"norm.eps": config.layer_norm_epsilon, "mlp.factor": factor}
        return edit if config.tie_word_embeddings else {**edit, "head": UntiedHead()}

    def settings(self, arch: Architecture) -> dict[str, Any]:
        """Return sizes, epsilon, feed-forward width, dropout, and whether the head is tied."""
        dims = arch.dims
        inner = ff_width(dims.width, getattr(arch.mlp, "factor", 4.0), 1)
        return {
            "n_layer": dims.layers,
            "n_embd": dims.width,
            "n_head": dims.heads,
            "vocab_size": dims.vocab,
            "n_positions": dims.context,
            "layer_norm_epsilon": getattr(arch.norm, "eps", 1e-5),
            "n_inner": None if inner == 4 * dims.width else inner,
            "resid_pdrop": arch.dropout,
            "embd_pdrop": arch.dropout,
            "attn_pdrop": arch.dropout,
            "tie_word_embeddings": arch.head == TiedHead(),
        }


GPT2 = Family(
    name="gpt2",
    summary="GPT-1 with pre-norm, a final norm, and residual projections scaled by 1/sqrt(N).",
    source="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    plugins="pre_norm + scaled_init",
    sizes={
        "124M": Dims(layers=12, width=768, heads=12, vocab=50257, context=1024),
        "355M": Dims(layers=24, width=1024, heads=16, vocab=50257, context=1024),
        "774M": Dims(layers=36, width=1280, heads=20, vocab=50257, context=1024),
        "1.5B": Dims(layers=48, width=1600, heads=25, vocab=50257, context=1024),
    },
    form=_InTransformers(),
    # Section 2.3 states the batch; the learning rate was tuned by hand for each size and is not
    # given. The rest is GPT-1's, which the paper says it largely follows.
    recipe=RecipePreset(
        batch_tokens=512 * 1024,
        optimizer="adamw(beta2=0.999)",
        schedule="cosine(floor=0.0)",
        warmup=0.01,
        weight_decay=0.01,
    ),
)
