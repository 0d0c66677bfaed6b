"""What a study may say of tuning: the options that are tried, and how often."""

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

from ablab.spec.base import Config

Prune = Literal["none", "asha", "hyperband"]


class Range(Config):
    """Every number from `low` to `high`; `log`: equal shares for equal ratios."""

    low: float
    high: float
    log: bool = True

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
    if twice := [value for i, value in enumerate(values) if value in values[:i]]:
        raise ValueError(f"{twice[0]!r} is listed twice")
    return values


def _within(each: Any) -> AfterValidator:
    """Both ends of a range are as the option's values (`each`)."""
    adapter = TypeAdapter(each)

    def check(found: Range) -> Range:
        for name in ("low", "high"):
            try:
                adapter.validate_python(getattr(found, name))
            except ValidationError as error:
                raise ValueError(
                    f"{name} {getattr(found, name):g}: {error.errors()[0]['msg']}"
                ) from None
        return found

    return AfterValidator(check)


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
PartOfOne = Annotated[float, Field(ge=0, lt=1)]
_Several = [Field(min_length=1), AfterValidator(_different)]
Names = Annotated[list[str], *_Several]
Counts = Annotated[list[Annotated[int, Field(ge=1)]], *_Several]
# A list of values, or a range: which of the two a value was meant to be is told by its form.
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
    """Trials of every arm before its confirming runs, each with other values of the recipe's
    options: a list of values, or a range (`{low, high}`). `trials`: of each arm. `share`: of a
    run's budget that a trial may spend. `seed`: of all trials, apart from the study's. `prune`:
    ends trials early that lag behind the arm's others. `shared`: whether all arms are confirmed
    with one recipe too, the trial point whose mean over the arms is lowest.
    """

    trials: Annotated[int, Field(ge=2)]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 10_001
    prune: Prune = "none"
    shared: bool = True
    lr: Rates | None = None
    batch_tokens: Counts | None = None
    optimizer: Names | None = None
    schedule: Names | None = None
    warmup: Parts | None = None
    weight_decay: Weights | None = None
    clip: Weights | None = None

    @model_validator(mode="after")
    def _something(self) -> "Tune":
        space = self.space()
        if not space:
            raise ValueError("it names no option of the recipe: give `lr`, say")
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

    def space(self) -> Space:
        """The options that are tried."""
        apart = {"trials", "share", "seed", "prune", "shared"}
        return {
            name: value
            for name in type(self).model_fields
            if name not in apart and (value := getattr(self, name)) is not None
        }
