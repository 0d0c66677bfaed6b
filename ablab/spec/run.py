"""The models of sizes, budgets, recipes and ladders in a study file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from ablab.errors import UserError
from ablab.spec.base import MAX_ITEMS, MAX_SECONDS, Config, Expression, Text
from ablab.text.truncate import shown

BudgetKind = Literal["tokens", "steps", "flops", "seconds"]
_BUDGET_KINDS: tuple[BudgetKind, ...] = get_args(BudgetKind)


class Sizes(Config):
    """The model's sizes, in place of the family's. They apply to `from` in a design, and to every
    arm's own family in `compare`. The vocabulary follows from the tokenizer.
    """

    layers: Annotated[int, Field(ge=1, le=128)] | None = None
    """Number of transformer blocks."""
    width: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Width of the residual stream, in features."""
    heads: Annotated[int, Field(ge=1, le=4_096)] | None = None
    """Number of attention heads per block."""
    head_dim: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Width of an attention head, in features; `width / heads` if omitted."""
    context: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Context length, in tokens."""


class BudgetConfig(Config):
    """What every run may spend. Give exactly one of the keys."""

    tokens: Annotated[float, Field(gt=0, le=1e15)] | None = None
    """Training tokens per run."""
    steps: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Optimizer steps per run."""
    flops: Annotated[float, Field(gt=0, le=1e30)] | None = None
    """Training FLOPs per run, forward and backward pass."""
    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] | None = None
    """Seconds spent in training steps per run, without validation, checkpoints and compilation."""

    @model_validator(mode="after")
    def _one(self) -> "BudgetConfig":
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give exactly one of {', '.join(_BUDGET_KINDS)}")
        return self

    @property
    def kind(self) -> BudgetKind:
        """The key that is given."""
        return next(kind for kind in _BUDGET_KINDS if getattr(self, kind) is not None)

    @property
    def amount(self) -> float:
        """The value of that key: tokens, steps, training FLOPs or seconds."""
        return getattr(self, self.kind)

    def scaled(self, share: float) -> "BudgetConfig":
        """Return a budget of the same kind with `share` of the amount."""
        return self.model_copy(update={self.kind: self.amount * share})

    def full_batches(self, batch_tokens: int, flops_per_token: float) -> int:
        """Return the number of full batches closest to the budget, which must not be in seconds.

        Raises UserError if the budget is less than one step.
        """
        cost = {
            "steps": 1.0,
            "tokens": float(batch_tokens),
            "flops": flops_per_token * batch_tokens,
        }[self.kind]
        if self.amount < cost:
            raise UserError(
                f"a budget of {self.amount:.4g} {self.kind} is below one step, which takes "
                f"{cost:.4g}; "
                "raise it, or lower recipe.batch_tokens"
            )
        return round(self.amount / cost)


class RecipeConfig(Config):
    """How every arm is trained, unless its own plugins say otherwise."""

    preset: Text | None = None
    """Name of the recipe that supplies the options that are not given here; `ablab recipes` lists
    them.
    """
    batch_tokens: Annotated[int, Field(ge=1, le=2**30)] = 4096
    """Tokens per optimizer step."""
    lr: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    """Peak learning rate."""
    optimizer: Expression | None = None
    """A plugin that sets the optimizer, with its options (`name(option=value)`); AdamW if
    omitted.
    """
    schedule: Expression | None = None
    """A plugin that sets the learning-rate schedule, with its options (`name(option=value)`);
    cosine decay if omitted.
    """
    plugins: Expression = ""
    """Terms of a model expression that are added to every arm which has no plugin of its own in
    their place.
    """
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the budget over which the learning rate rises linearly to its peak."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    """Weight decay coefficient."""
    clip: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    """Maximum norm of the gradient; 0 disables clipping."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numerical precision of training; `auto` chooses it by device."""


def _preset(value: Any) -> Any:
    """Accept the name of a preset in place of a mapping."""
    return {"preset": value} if isinstance(value, str) else value


RecipeField = Annotated[
    RecipeConfig, BeforeValidator(_preset, json_schema_input_type=RecipeConfig | Text)
]


class Rung(Config):
    """One scale of a ladder. Its keys override the study's."""

    model: Sizes = Sizes()
    """Model sizes at this scale."""
    budget: BudgetConfig | None = None
    """Budget of a run at this scale; the study's if omitted."""
    recipe: RecipeField = RecipeConfig()
    """Recipe options at this scale."""


Rungs = Annotated[list[Rung], Field(max_length=MAX_ITEMS)]


class Scales(Config):
    """A ladder: the same study at several scales."""

    rungs: Rungs
    """The scales, from small to large."""
    lr: Literal["constant", "inverse_width", "inverse_sqrt_width"] | None = None
    """How the learning rate of a rung follows from the first rung's as the width grows, where the
    rung sets none; constant if omitted.
    """


def as_ladder(value: Any) -> Any:
    """Accept a list of rungs in place of a mapping."""
    if not isinstance(value, list | Mapping | Scales):
        raise ValueError(
            f"a list of rungs is expected, or {{rungs: [...], lr: ...}}, not {shown(value)}"
        )
    return {"rungs": value} if isinstance(value, list) else value


def first_budget(several: Any, ladder: Any) -> Any:
    """Return the unvalidated budget of a study's first part.

    Where `budgets` (`several`) and `scales` (`ladder`) have none it is an arbitrary valid budget,
    so that the error is reported for these keys and not for `budget`.
    """
    budgets = several
    if budgets is None:
        rungs = ladder.get("rungs") if isinstance(ladder, Mapping) else ladder
        if isinstance(rungs, list):
            budgets = [rung.get("budget") for rung in rungs if isinstance(rung, Mapping)]
    if isinstance(budgets, list) and budgets and budgets[0]:
        return budgets[0]
    return {"steps": 1.0}


Ladder = Annotated[Scales, BeforeValidator(as_ladder, json_schema_input_type=Scales | Rungs)]
