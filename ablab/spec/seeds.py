"""The seeds of a study (a number, a list, or as many as the verdicts need), and replicates."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ablab.spec.base import MAX_SEED, MAX_SEEDS, Config, Expression, Seed
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.text.truncate import shown

# Replicate r of an arm uses the study's seeds + r × STREAM, so that no two replicates share a seed.
STREAM = 1_000_000


class AdaptiveSeeds(Config):
    """Trains a few seeds of every arm first, and then more seeds of the arms whose verdicts are
    still open.
    """

    # Studies of earlier versions, which are still read, may have started with fewer than four.
    start: Annotated[int, Field(ge=2, le=MAX_SEEDS)] = MIN_SEEDS
    """Number of seeds that every arm begins with: at least four, since fewer give no verdict."""
    max: Annotated[int, Field(ge=2, le=MAX_SEEDS)]
    """Maximum number of seeds of an arm."""
    until: Literal["decided"] = "decided"
    """When to stop adding seeds: once every effect has a verdict."""

    @model_validator(mode="after")
    def _more(self) -> "AdaptiveSeeds":
        if self.max <= self.start:
            raise ValueError(
                f"max {self.max} is not above start {self.start}: for a fixed number give it "
                "alone (`seeds: 4`)"
            )
        return self


def _fixed(value: Any) -> Any:
    """Accept a count or a list of distinct seeds."""
    several = isinstance(value, list) and len(value) > 0 and len(set(map(str, value))) == len(value)
    numbers: list[Any] = value if several else [value]
    if value == 0 or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(
            "a number of seeds (at least 1), or a list of different whole numbers, or {start, "
            f"max, until: decided}}, not {shown(value)}"
        )
    if len(numbers) > MAX_SEEDS or max(numbers) > (MAX_SEED if several else MAX_SEEDS):
        raise ValueError(
            f"at most {MAX_SEEDS:,} seeds, each at most {MAX_SEED:,}, not {shown(value)}"
        )
    return value


def _form(value: Any) -> str:
    return "[mapping]" if isinstance(value, Mapping | Config) else "[list]"


_Count = Annotated[int, Field(ge=1, le=MAX_SEEDS)]
_List = Annotated[list[Seed], Field(min_length=1, max_length=MAX_SEEDS)]
_Fixed = Annotated[
    Any, BeforeValidator(_fixed, json_schema_input_type=_Count | _List), Tag("[list]")
]
Seeds = Annotated[_Fixed | Annotated[AdaptiveSeeds, Tag("[mapping]")], Discriminator(_form)]


class Replicate(Config):
    """An arm of `compare` with its own stream of seeds. The same model under another `replicate` is
    an A/A arm.
    """

    model: Expression
    """The arm's model expression."""
    replicate: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of the seed stream: the arm's runs use the study's seeds plus 1,000,000 times this
    number.
    """


def _arm_form(value: Any) -> str:
    return "[mapping]" if isinstance(value, Mapping | Config) else "[text]"


ArmText = Annotated[
    Annotated[Expression, Tag("[text]")] | Annotated[Replicate, Tag("[mapping]")],
    Discriminator(_arm_form),
]


def seed_list(seeds: int | list[int] | AdaptiveSeeds) -> list[int]:
    """Return all seeds that runs may have: 1 to n for a number, 1 to the maximum if adaptive."""
    if isinstance(seeds, AdaptiveSeeds):
        return list(range(1, seeds.max + 1))
    if isinstance(seeds, int):
        return list(range(1, seeds + 1))
    return list(seeds)


def seeds_text(seeds: int | list[int] | AdaptiveSeeds) -> str:
    """Return a study's seeds in words."""
    if isinstance(seeds, AdaptiveSeeds):
        return f"{seeds.start} of every arm, more where verdicts were open, at most {seeds.max}"
    return str(seeds)
