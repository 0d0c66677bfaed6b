"""GPT-3: alternating dense and banded attention."""

from ablab.plugin import Dims, Family, RecipePreset

_VOCAB = 50257
_CONTEXT = 2048


def _dims(layers: int, width: int, heads: int, head_dim: int) -> Dims:
    return Dims(
        layers=layers, width=width, heads=heads, head_dim=head_dim, vocab=_VOCAB, context=_CONTEXT
    )


GPT3 = Family(
    name="gpt3",
    summary="GPT-2 with alternating dense and locally banded attention.",
    source="Brown et al. 2020, arXiv:2005.14165, table 2.1",
    plugins="pre_norm + scaled_init + sparse_attention",
    # Heads × head dimension is not the width at 1.3B and 13B: as the paper prints it.
    sizes={
        "125M": _dims(12, 768, 12, 64),
        "350M": _dims(24, 1024, 16, 64),
        "760M": _dims(24, 1536, 16, 96),
        "1.3B": _dims(24, 2048, 24, 128),
        "2.7B": _dims(32, 2560, 32, 80),
        "6.7B": _dims(32, 4096, 32, 128),
        "13B": _dims(40, 5140, 40, 128),
        "175B": _dims(96, 12288, 96, 128),
    },
    # Appendix B; 125M's learning rate and batch. 375M of 300B tokens of warm-up are 0.13 %, less
    # than a step of a small budget: 1 % here. The batch grows from 32k tokens over the first 12B.
    recipe=RecipePreset(
        lr=6e-4,
        batch_tokens=2**19,
        optimizer="adamw(beta2=0.95)",
        schedule="cosine(floor=0.1)",
        warmup=0.01,
        weight_decay=0.1,
        clip=1.0,
        plugins="batch_ramp(start=0.0625, share=0.04)",
    ),
)
