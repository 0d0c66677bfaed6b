"""What a study may say of its runs: sizes, budget and recipe, and the rungs of a ladder, which have
their own.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ablab.spec.base import Config
from ablab.train.budget import KINDS, Budget


class Sizes(Config):
    """The model's sizes, in place of the family's: of `from` in a design, of each arm's own in
    `compare`.

    The vocabulary follows from the tokenizer.
    """

    layers: Annotated[int, Field(ge=1)] | None = None
    width: Annotated[int, Field(ge=1)] | None = None
    heads: Annotated[int, Field(ge=1)] | None = None
    head_dim: Annotated[int, Field(ge=1)] | None = None
    context: Annotated[int, Field(ge=1)] | None = None


class BudgetConfig(Config):
    """What every run may spend: exactly one of these."""

    tokens: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[float, Field(gt=0)] | None = None
    flops: Annotated[float, Field(gt=0)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "BudgetConfig":
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        return self

    def budget(self) -> Budget:
        """The budget as a value."""
        return next(
            Budget(kind, amount) for kind in KINDS if (amount := getattr(self, kind)) is not None
        )


class RecipeConfig(Config):
    """How every arm is trained. `preset`: a family whose published recipe fills in what is not
    given here. `optimizer`, `schedule`: a plugin that writes it, with options
    (`name(option=value)`); the base recipe's by default. `plugins`: terms given to every arm that
    has no own in their place. `batch_tokens`: tokens a full step. `warmup`: share of the budget.
    `clip`: gradient norm, 0 for none.
    """

    preset: str | None = None
    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    lr: Annotated[float, Field(gt=0)] = 1e-3
    optimizer: str | None = None
    schedule: str | None = None
    plugins: str = ""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip: Annotated[float, Field(ge=0)] = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"


def _preset(value: Any) -> Any:
    """A recipe that is a name alone is that preset."""
    return {"preset": value} if isinstance(value, str) else value


RecipeField = Annotated[
    RecipeConfig, BeforeValidator(_preset, json_schema_input_type=RecipeConfig | str)
]


class Rung(Config):
    """What one part of a study that goes up a ladder has of its own: sizes, budget, recipe, each
    over the study's.
    """

    model: Sizes = Sizes()
    budget: BudgetConfig | None = None
    recipe: RecipeField = RecipeConfig()


class Scales(Config):
    """A ladder: the study at each of `rungs`, from small to large. `lr`: how the learning rate
    follows from the first rung's as the model gets wider, where a rung has none of its own;
    constant by default.
    """

    rungs: list[Rung]
    lr: Literal["constant", "inverse_width", "inverse_sqrt_width"] | None = None


def as_ladder(value: Any) -> Any:
    """A list is that of the rungs."""
    if not isinstance(value, list | Mapping | Scales):
        raise ValueError(
            f"a list of rungs is expected, or {{rungs: [...], lr: ...}}, not {value!r}"
        )
    return {"rungs": value} if isinstance(value, list) else value


def first_budget(several: Any, ladder: Any) -> Any:
    """What a study's first part may spend; of lists that are refused later, in better words,
    anything that is sound.
    """
    if several is None:
        rungs = ladder.get("rungs") if isinstance(ladder, Mapping) else ladder
        several = (
            [rung.get("budget") for rung in rungs if isinstance(rung, Mapping)]
            if isinstance(rungs, list)
            else None
        )
    return (several[0] if isinstance(several, list) and several else None) or {"steps": 1.0}


Ladder = Annotated[Scales, BeforeValidator(as_ladder, json_schema_input_type=Scales | list[Rung])]
