"""The model of a search over sets of plugins in a study file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ablab.spec.base import MAX_ITEMS, Config, Expression, Label, Seed
from ablab.spec.metric import Objective
from ablab.spec.tune import Prune, Range
from ablab.text.truncate import shown


def _values(value: Any) -> Any:
    """Accept a list of levels, or a mapping of options to lists and ranges."""
    if (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(level, str) for level in value)
    ):
        return value
    if isinstance(value, Mapping):
        return {name: _option(name, tried) for name, tried in value.items()}
    raise ValueError(
        "a list of two levels or more, or a mapping of options to lists or ranges, not "
        f"{shown(value)}"
    )


def _option(name: str, tried: Any) -> Any:
    if isinstance(tried, list) and tried:
        return tried
    try:
        return TypeAdapter(Range).validate_python(tried)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{name}: a list of values or {{low, high}} is expected: {first['msg']}"
        ) from None


_Texts = Annotated[list[Expression], Field(max_length=MAX_ITEMS)]
_Options = Annotated[
    dict[Label, Annotated[list[Any], Field(max_length=MAX_ITEMS)] | Range],
    Field(max_length=MAX_ITEMS),
]
Tried = Annotated[
    Annotated[_Texts, Tag("[list]")] | Annotated[_Options, Tag("[mapping]")],
    Discriminator(lambda value: "[list]" if isinstance(value, list) else "[mapping]"),
    BeforeValidator(_values, json_schema_input_type=_Texts | _Options),
]


class Constraints(Config):
    """Limits on the trials; a proposal that exceeds one is not trained."""

    parameters: Annotated[float, Field(gt=0, le=1e18)] | None = None
    """Maximum number of parameters of the model."""
    memory_bytes: Annotated[float, Field(gt=0, le=1e18)] | None = None
    """Maximum memory for weights, gradients and optimizer state in float32, without activations,
    in bytes.
    """


class Search(Config):
    """Searches for the best plugin sets with Optuna: TPE for one objective, NSGA-II for several.
    The best arms of the trials are then trained again beside `from`, on the study's seeds.
    """

    kind: Literal["search"]
    """The design's kind."""
    changes: list[Expression] = Field(default=[], max_length=MAX_ITEMS)
    """Terms that each trial includes or not (`swiglu`, `- scaled_init`)."""
    factors: dict[Label, Tried] = Field(default={}, max_length=MAX_ITEMS)
    """Factors by name: a plugin with the options to try where it is on (`rope: {base: {low: 1e3,
    high: 1e6}}`), or any name with a list of levels (`position: [learned, rope, alibi]`).
    """
    objectives: list[Objective] = Field(default=["val/bpb"], min_length=1, max_length=8)
    """The metrics and costs to optimize, each in its own direction. Several give a Pareto front."""
    trials: Annotated[int, Field(ge=2, le=10_000)] = 24
    """Number of trials."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a run's budget that each trial may spend."""
    seed: Seed = 10_001
    """Random seed of all trials; it must not be one of the study's seeds."""
    at_once: Annotated[int, Field(ge=1, le=1_000)] = 4
    """Number of trials proposed together, without waiting for each other's results."""
    prune: Prune = "none"
    """Pruner that stops unpromising trials early; only with a single objective."""
    constraints: Constraints = Constraints()
    """Limits that a trial must respect."""
    confirm: Annotated[int, Field(ge=1, le=256)] = 3
    """Maximum number of arms to train again on the study's seeds."""

    @model_validator(mode="after")
    def _sound(self) -> "Search":
        if not self.changes and not self.factors:
            raise ValueError("name what is tried: `changes`, `factors` or both")
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("an objective is named twice")
        if self.prune != "none" and len(self.objectives) > 1:
            raise ValueError("pruning compares one value: name one objective, or leave `prune` out")
        return self
