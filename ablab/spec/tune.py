"""The model of hyperparameter tuning in a study file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ablab.spec.base import MAX_ITEMS, Config, Expression, Seed
from ablab.stats.tuning.response_surface import refining_offsets

Prune = Literal["none", "asha", "hyperband"]
_FEWEST_POINTS = 3  # of a parabola


Bound = Annotated[float, Field(ge=-1e15, le=1e15)]


class Range(Config):
    """Every number between two bounds."""

    low: Bound
    """Lower bound, included."""
    high: Bound
    """Upper bound, included."""
    log: bool = True
    """Whether to sample on a logarithmic scale."""

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} has no logarithm: give one above 0, or log: false")
        return self


def _form(value: Any) -> str:
    return "range" if isinstance(value, Mapping | Range) else "list"


def _different(values: list[Any]) -> list[Any]:
    """Accept a list without duplicates."""
    duplicates = [value for i, value in enumerate(values) if value in values[:i]]
    if duplicates:
        raise ValueError(f"{duplicates[0]!r} is listed twice")
    return values


def _within(value_type: Any) -> AfterValidator:
    """Return a validator that requires both bounds of a range to be of `value_type`."""
    adapter = TypeAdapter(value_type)

    def check(bounds: Range) -> Range:
        for name in ("low", "high"):
            bound = getattr(bounds, name)
            try:
                adapter.validate_python(bound)
            except ValidationError as error:
                raise ValueError(f"{name} {bound:g}: {error.errors()[0]['msg']}") from None
        return bounds

    return AfterValidator(check)


Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=1e9)]
PartOfOne = Annotated[float, Field(ge=0, lt=1)]
_Several = [Field(min_length=1, max_length=MAX_ITEMS), AfterValidator(_different)]
Names = Annotated[list[Expression], *_Several]
Counts = Annotated[list[Annotated[int, Field(ge=1, le=2**30)]], *_Several]
# The form of a value decides whether it is validated as a list or as a range, so that errors refer
# to that form alone.
_Form = Discriminator(_form)
Rates = Annotated[
    Annotated[list[Positive], *_Several, Tag("list")]
    | Annotated[Range, _within(Positive), Tag("range")],
    _Form,
]
Weights = Annotated[
    Annotated[list[NotNegative], *_Several, Tag("list")]
    | Annotated[Range, _within(NotNegative), Tag("range")],
    _Form,
]
Parts = Annotated[
    Annotated[list[PartOfOne], *_Several, Tag("list")]
    | Annotated[Range, _within(PartOfOne), Tag("range")],
    _Form,
]
Space = Mapping[str, list[float] | list[int] | list[str] | Range]


class Tune(Config):
    """Tunes the recipe of every arm: trials with different values of the recipe's options, each
    given as a list of values or a range (`{low, high}`), before the arm's runs.
    """

    trials: Annotated[int, Field(ge=2, le=1_000)]
    """Number of trials per arm. If the learning rate alone is tuned, two or four more follow around
    each arm's optimum where a step between the first ones costs more than the margin.
    """
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a run's budget that each trial may spend; by default as much as keeps all trials
    within a quarter of the study's compute.
    """
    seed: Seed = 10_001
    """Random seed of all trials; it must not be one of the study's seeds."""
    prune: Prune = "none"
    """Pruner that stops trials early which lag behind other trials of the same arm."""
    shared: bool = True
    """Whether to train all arms with one common recipe as well: the one with the best mean over the
    arms.
    """
    lr: Rates | None = None
    """Peak learning rates to try."""
    batch_tokens: Counts | None = None
    """Batch sizes to try, in tokens per optimizer step."""
    optimizer: Names | None = None
    """Optimizer plugins to try."""
    schedule: Names | None = None
    """Learning-rate schedule plugins to try."""
    warmup: Parts | None = None
    """Warmup shares of the budget to try."""
    weight_decay: Weights | None = None
    """Weight decay coefficients to try."""
    clip: Weights | None = None
    """Maximum gradient norms to try; 0 disables clipping."""

    @model_validator(mode="after")
    def _something(self) -> "Tune":
        space = self.space()
        if not space:
            raise ValueError("it names no option of the recipe: give for example `lr`")
        combinations = 1
        for values in space.values():
            if isinstance(values, Range):
                return self
            combinations *= len(values)
        if combinations < self.trials:
            raise ValueError(
                f"its lists have {combinations} combinations, fewer than {self.trials} "
                "trials; a range is {low, high}"
            )
        return self

    @property
    def by_surface(self) -> bool:
        """Whether the optima are read from a response surface over the learning rate.

        This takes three points at least, and the learning rate as the only option.
        """
        return list(self.space()) == ["lr"] and self.trials >= _FEWEST_POINTS

    def most_trials(self, seeds: int) -> int:
        """Return the largest number of trials of an arm. `seeds` is that of its runs."""
        return self.trials + (len(refining_offsets(seeds)) if self.by_surface else 0)

    def space(self) -> Space:
        """Return the options of the recipe to tune, with their values or ranges."""
        settings = {"trials", "share", "seed", "prune", "shared"}
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in settings and getattr(self, name) is not None
        }
