"""Megatron and Megatron-Turing: GPT-2's block with a padded vocabulary."""

from ablab.plugin import Dims, Family, RecipePreset

_VOCAB = 50257


def _dims(layers: int, width: int, heads: int, context: int = 1024) -> Dims:
    return Dims(layers=layers, width=width, heads=heads, vocab=_VOCAB, context=context)


MEGATRON = Family(
    name="megatron",
    summary="GPT-2, vocabulary padded for tensor parallelism (51,200 rows for 50,257 tokens).",
    source=(
        "Shoeybi et al. 2019, arXiv:1909.08053, table 1; Smith et al. 2022 (Megatron-Turing), "
        "arXiv:2201.11990"
    ),
    plugins="pre_norm + scaled_init + padded_vocab",
    sizes={
        "1.2B": _dims(40, 1536, 16),
        "2.5B": _dims(54, 1920, 20),
        "4.2B": _dims(64, 2304, 24),
        "8.3B": _dims(72, 3072, 32),
        "530B": _dims(105, 20480, 128, 2048),
    },
    # Megatron-LM section 4.2: 3,000 of 300,000 steps of warm-up; the floor is 1e-5.
    recipe=RecipePreset(
        lr=1.5e-4,
        batch_tokens=512 * 1024,
        optimizer="adamw(beta2=0.999)",
        schedule="cosine(floor=0.067)",
        warmup=0.01,
        weight_decay=0.01,
        clip=1.0,
        plugins="dropout(p=0.1) + activation_checkpointing",
    ),
)
