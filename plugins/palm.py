"""PaLM: parallel block, multi-query attention, SwiGLU at 4d, rotary positions, no biases."""

from ablab.plugin import Dims, Family, RecipePreset

PALM = Family(
    name="palm",
    summary=(
        "Parallel pre-norm block, multi-query attention, SwiGLU at 4d, RoPE, no biases, fan-in "
        "init, scaled logits."
    ),
    source="Chowdhery et al. 2022, arXiv:2204.02311, table 1",
    # Tied embeddings are the base decoder's.
    plugins=(
        "pre_norm + parallel_block + mqa + swiglu(factor=4) + rope + no_bias + fan_in_init + "
        "logit_scale"
    ),
    sizes={
        "8B": Dims(layers=32, width=4096, heads=16, head_dim=256, vocab=256000, context=2048),
        "62B": Dims(layers=64, width=8192, heads=32, head_dim=256, vocab=256000, context=2048),
        "540B": Dims(layers=118, width=18432, heads=48, head_dim=256, vocab=256000, context=2048),
    },
    # Section 5: no warm-up, constant for 10,000 of 255,000 steps; its decay of lr² a step is lr ·
    # 0.01 at the peak. The batch grew from 1M over 2M to 4M tokens; the last is given here.
    recipe=RecipePreset(
        lr=1e-2,
        batch_tokens=2048 * 2048,
        optimizer="adafactor",
        schedule="inverse_sqrt(hold=0.04)",
        warmup=0.0,
        weight_decay=0.01,
        clip=1.0,
        plugins="z_loss",
    ),
)
