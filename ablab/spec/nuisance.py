"""Nuisance factors of a study: choices that a verdict should not hang on."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from ablab.errors import unknown
from ablab.spec.base import Config, Expression, Label
from ablab.spec.run import RecipeConfig
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.text.truncate import shown

RECIPE = "recipe."
_MOST_FACTORS = 3
_LEVELS = 2
# Options of the recipe that nuisance factors may not set: a preset is a whole recipe, plugins are
# given by a factor of any other name, and the precision changes no choice that generalises.
_EXCLUDED = ("preset", "plugins", "precision")


class Around(Config):
    """The recipe's value divided and multiplied by a factor."""

    factor: Annotated[float, Field(gt=1, le=1e6)]
    """The factor, above 1."""


def _two(levels: list[Any]) -> list[Any]:
    """Accept a list of two different levels."""
    if len(levels) != _LEVELS or levels[0] == levels[1]:
        raise ValueError(f"a nuisance factor has two different levels, not {shown(levels)}")
    if not all(type(level) in (float, int, str) for level in levels):
        raise ValueError(f"a level is a number or a text, not {shown(levels)}")
    return levels


def _form(value: Any) -> str:
    return "around" if isinstance(value, Mapping | Around) else "list"


_Number = Annotated[float, Field(ge=-1e15, le=1e15)]
_Two = Annotated[
    list[Any],
    WithJsonSchema(TypeAdapter(list[_Number | Expression]).json_schema() | {"maxItems": _LEVELS}),
    AfterValidator(_two),
]
Levels = Annotated[
    Annotated[_Two, Tag("list")] | Annotated[Around, Tag("around")],
    Discriminator(_form),
]


def _flat(factors: Any) -> Any:
    """Refuse `{recipe: {lr: …}}`, whose factor is `recipe.lr`."""
    if isinstance(factors, Mapping) and "recipe" in factors:
        raise ValueError("an option of the recipe is one key, such as `recipe.lr: {factor: 1.5}`")
    return factors


def _factors(factors: dict[str, Any]) -> dict[str, Any]:
    """Accept one to three factors whose names and levels fit together."""
    if not 1 <= len(factors) <= _MOST_FACTORS:
        raise ValueError(f"one to {_MOST_FACTORS} nuisance factors, not {len(factors)}")
    options = [name for name in RecipeConfig.model_fields if name not in _EXCLUDED]
    for name, levels in factors.items():
        option = name.removeprefix(RECIPE)
        if name.startswith(RECIPE) and option not in options:
            raise ValueError(str(unknown("option of the recipe", option, options)))
        if name.startswith(RECIPE):
            _check_option(option, levels)
        elif isinstance(levels, Around) or not all(isinstance(level, str) for level in levels):
            raise ValueError(
                f"{name}: a list of two plugin expressions (`['', 'width_init']`); options of "
                f"the recipe are named `{RECIPE}…`"
            )
    return factors


def _check_option(option: str, levels: Any) -> None:
    """Raise ValueError if levels do not fit an option of the recipe."""
    if isinstance(levels, Around):
        if not isinstance(RecipeConfig.model_fields[option].default, float):
            raise ValueError(f"{RECIPE}{option}: it is no real number: give a list of two values")
        return
    for level in levels:
        try:
            RecipeConfig.model_validate({option: level})
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{RECIPE}{option}: {first['msg']}, not {level!r}") from None


_Factors = Annotated[dict[Label, Levels], Field(json_schema_extra={"maxProperties": _MOST_FACTORS})]
Nuisance = Annotated[
    _Factors,
    BeforeValidator(_flat, json_schema_input_type=_Factors),
    AfterValidator(_factors),
]


def balanced_step(factors: int) -> int:
    """Return the number of seeds after which every level has occurred equally often."""
    return {0: 1, 1: 2}.get(factors, 4)


def fewest_seeds(factors: int) -> int:
    """Return the smallest number of seeds that gives verdicts: four, and with factors, on which a
    dependence is judged, two more for each, in full steps.
    """
    step = balanced_step(factors)
    return step * math.ceil((MIN_SEEDS + 2 * factors) / step)


def varied(nuisance: Mapping[str, Any] | None, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run's recipe that are nuisance factors."""
    options = (name.removeprefix(RECIPE) for name in nuisance or {} if name.startswith(RECIPE))
    return {option: recipe[option] for option in options if option in recipe}


def label(levels: Any, which: int) -> str:
    """Return a level of a factor in words; `which` is 0 or 1."""
    if isinstance(levels, Around):
        return f"{'÷' if which == 0 else '×'} {levels.factor:g}"
    level = levels[which]
    return f"{level:g}" if isinstance(level, float) else str(level) or "no plugin"
