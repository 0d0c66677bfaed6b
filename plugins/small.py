"""The recipe of small studies: models of some 100,000 parameters, trained for minutes on a core."""

from ablab.plugin import NamedRecipe, RecipePreset

SMALL = NamedRecipe(
    name="small",
    summary="A long warm-up, a straight line down to zero, and embeddings scaled by width.",
    source="docs/recipes.md of ablab, `python -m benchmarks.recipes`",
    recipe=RecipePreset(
        lr=4e-3,
        batch_tokens=256,
        optimizer="adamw",
        schedule="linear",
        warmup=0.3,
        weight_decay=0.1,
        clip=1.0,
        plugins="width_init",
    ),
)
