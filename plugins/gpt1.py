"""GPT-1: the base decoder."""

from ablab.plugin import Dims, Family, RecipePreset

GPT1 = Family(
    name="gpt1",
    summary="Post-norm LayerNorm, learned positions, GELU, multi-head attention, biases, tied embeddings.",
    source="Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
    plugins="",
    sizes={"117M": Dims(layers=12, width=768, heads=12, vocab=40478, context=512)},
    # Section 4.1. Decay that is apart from the gradient is AdamW's; β are Adam's defaults. 2,000 warm-up updates of about
    # 3 million (100 epochs) are 0.07 % of them, less than one step of a small budget: 1 % here.
    recipe=RecipePreset(
        lr=2.5e-4,
        batch_tokens=64 * 512,
        optimizer="adamw(beta2=0.999)",
        schedule="cosine(floor=0.0)",
        warmup=0.01,
        weight_decay=0.01,
    ),
)
