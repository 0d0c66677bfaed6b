"""LLaMA: RMSNorm, SwiGLU, RoPE, no biases, untied embeddings."""

from ablab.plugin import Dims, Family, RecipePreset

LLAMA = Family(
    name="llama",
    summary="Pre-norm with RMSNorm, SwiGLU at 2/3·4d, rotary positions, no biases, untied embeddings.",
    source="Touvron et al. 2023, arXiv:2302.13971",
    plugins="pre_norm + rmsnorm + swiglu + rope + no_bias + untied_embeddings",
    sizes={
        "7B": Dims(layers=32, width=4096, heads=32, vocab=32000, context=2048),
        "13B": Dims(layers=40, width=5120, heads=40, vocab=32000, context=2048),
        "33B": Dims(layers=60, width=6656, heads=52, vocab=32000, context=2048),
        "65B": Dims(layers=80, width=8192, heads=64, vocab=32000, context=2048),
    },
    # Sections 2.3 and 2.4, table 2: 7B's learning rate, batches of 4M tokens. 2,000 warm-up steps of about 240,000 (1.0T
    # tokens) are 0.8 %.
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
