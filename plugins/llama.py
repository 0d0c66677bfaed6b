"""LLaMA: RMSNorm, SwiGLU, RoPE, no biases, untied embeddings."""

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
    ff_width,
)


class _InTransformers(TransformersForm):
    """LlamaForCausalLM, with any grouping of heads, head dimension, rotary base and width, and tied
    embeddings too.
    """

    model_type = "llama"
    free = ("attention_dropout", "pretraining_tp")
    same = {"hidden_act": ("swish",)}  # noqa: RUF012
    equivalent = ("mixer.kv_heads", "mlp.factor", "mlp.multiple")
    matches = (
        Match("model.embed_tokens", ("embedding",)),
        Match("model.layers.{}.input_layernorm", ("blocks.{}.join.mixer.norm",)),
        Match("model.layers.{}.self_attn.q_proj", ("blocks.{}.mixer.q",)),
        Match("model.layers.{}.self_attn.k_proj", ("blocks.{}.mixer.k",)),
        Match("model.layers.{}.self_attn.v_proj", ("blocks.{}.mixer.v",)),
        Match("model.layers.{}.self_attn.o_proj", ("blocks.{}.mixer.o",)),
        Match("model.layers.{}.post_attention_layernorm", ("blocks.{}.join.mlp.norm",)),
        Match("model.layers.{}.mlp.gate_proj", ("blocks.{}.mlp.gate",)),
        Match("model.layers.{}.mlp.up_proj", ("blocks.{}.mlp.up",)),
        Match("model.layers.{}.mlp.down_proj", ("blocks.{}.mlp.down",)),
        Match("model.norm", ("final",)),
        Match("lm_head", ("head.output",)),
    )

    def dims(self, config: Any) -> Dims:
        """Return the sizes of a model from its transformers configuration."""
        width = config.hidden_size
        heads = config.num_attention_heads
        head_dim = config.head_dim
        return Dims(
            layers=config.num_hidden_layers,
            width=width,
            heads=heads,
            head_dim=None if head_dim * heads == width else head_dim,
            vocab=config.vocab_size,
            context=config.max_position_embeddings,
        )

    def edit(self, config: Any, base: Architecture) -> Edit:
        """Return epsilon, rotary base, kv heads, width of the feed-forward, and the head if it is
        tied.
        """
        width = config.hidden_size
        hidden = config.intermediate_size
        kv_heads = config.num_key_value_heads
        edit: dict[str, Any] = {
            "norm.eps": config.rms_norm_eps,
            "mixer.rotate.base": float(config.rope_parameters["rope_theta"]),
            "mixer.kv_heads": None if kv_heads == config.num_attention_heads else kv_heads,
        }
        if hidden != self._hidden(base):
            edit |= {"mlp.factor": hidden / width, "mlp.multiple": 1}
        return {**edit, "head": TiedHead()} if config.tie_word_embeddings else edit

    def settings(self, arch: Architecture) -> dict[str, Any]:
        """Return sizes, epsilon, rotary base, kv heads, width of the feed-forward, and whether the
        head is tied.
        """
        dims = arch.dims
        rotate = getattr(arch.mixer, "rotate", None)
        return {
            "num_hidden_layers": dims.layers,
            "hidden_size": dims.width,
            "num_attention_heads": dims.heads,
            "head_dim": dims.head_width,
            "vocab_size": dims.vocab,
            "max_position_embeddings": dims.context,
            "num_key_value_heads": getattr(arch.mixer, "kv_heads", None) or dims.heads,
            "intermediate_size": self._hidden(arch),
            "rms_norm_eps": getattr(arch.norm, "eps", 1e-5),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": getattr(rotate, "base", 10_000.0),
            },
            "tie_word_embeddings": arch.head == TiedHead(),
        }

    @staticmethod
    def _hidden(arch: Architecture) -> int:
        return ff_width(
            arch.dims.width, getattr(arch.mlp, "factor", 8 / 3), getattr(arch.mlp, "multiple", 256)
        )


LLAMA = Family(
    name="llama",
    summary="Pre-norm RMSNorm, SwiGLU at 2/3·4d, rotary positions, no biases, untied embeddings.",
    source="Touvron et al. 2023, arXiv:2302.13971",
    plugins="pre_norm + rmsnorm + swiglu + rope + no_bias + untied_embeddings",
    sizes={
        "7B": Dims(layers=32, width=4096, heads=32, vocab=32000, context=2048),
        "13B": Dims(layers=40, width=5120, heads=40, vocab=32000, context=2048),
        "33B": Dims(layers=60, width=6656, heads=52, vocab=32000, context=2048),
        "65B": Dims(layers=80, width=8192, heads=64, vocab=32000, context=2048),
    },
    form=_InTransformers(),
    # Sections 2.3 and 2.4, table 2: 7B's learning rate, batches of 4M tokens. 2,000 warm-up steps
    # of about 240,000 (1.0T tokens) are 0.8 %.
    recipe=RecipePreset(
        lr=3e-4,
        batch_tokens=2048 * 2048,
        optimizer="adamw(beta2=0.95)",
        schedule="cosine(floor=0.1)",
        warmup=0.01,
        weight_decay=0.1,
        clip=1.0,
        plugins="activation_checkpointing",
    ),
)
