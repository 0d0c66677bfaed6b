"""LLaMA: RMSNorm, SwiGLU, RoPE, no biases, untied embeddings."""

from ablab.plugin import Dims, Family

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
)
