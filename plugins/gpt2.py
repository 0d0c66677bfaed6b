"""GPT-2: pre-norm and scaled init."""

from ablab.plugin import Dims, Family, RecipePreset

GPT2 = Family(
    name="gpt2",
    summary="GPT-1 with pre-norm, a final norm, and residual projections' init scaled by 1/sqrt(N).",
    source="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    plugins="pre_norm + scaled_init",
    sizes={
        "124M": Dims(layers=12, width=768, heads=12, vocab=50257, context=1024),
        "355M": Dims(layers=24, width=1024, heads=16, vocab=50257, context=1024),
        "774M": Dims(layers=36, width=1280, heads=20, vocab=50257, context=1024),
        "1.5B": Dims(layers=48, width=1600, heads=25, vocab=50257, context=1024),
    },
    # Section 2.3 states the batch; the learning rate was tuned by hand for each size and is not given. The rest is GPT-1's,
    # which the paper says it largely follows.
    recipe=RecipePreset(
        batch_tokens=512 * 1024, optimizer="adamw(beta2=0.999)", schedule="cosine(floor=0.0)", warmup=0.01, weight_decay=0.01
    ),
)
