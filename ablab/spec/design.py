"""What `design` in a study file may say."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field

from ablab.spec.base import Config
from ablab.spec.search import Search


def _levels(value: Any) -> Any:
    """Accepts a list of levels, or a mapping of options to lists of values."""
    if isinstance(value, list) and all(isinstance(level, str) for level in value):
        return value
    if isinstance(value, dict) and all(
        isinstance(listed, list) and listed for listed in value.values()
    ):
        return value
    raise ValueError(
        "a list of levels is expected (terms as in `changes`, or `off`), or, for a factor named "
        "after a plugin, "
        f"a mapping of its options to lists of values, not {value!r}"
    )


Levels = Annotated[
    Any, BeforeValidator(_levels, json_schema_input_type=list[str] | dict[str, list[Any]])
]


class Compare(Config):
    """Every arm against the baseline: the arm named by `baseline`, by default the first, or `from`
    where there are no arms.
    """

    kind: Literal["compare"] = "compare"
    baseline: str | None = None


class _Changes(Config):
    """`changes`: which changes, as terms of expressions (`rope`, `- scaled_init`); by default all
    between from and to.
    """

    changes: Annotated[list[str], Field(min_length=1)] | None = None


class _Factors(_Changes):
    """`factors`: names with their levels, of which the first is the reference.

    A list of levels: terms as in `changes` (`rope`, `rope(base=5e5)`, `- scaled_init`, a group `a +
    b`), or `off`: none of the factor's plugins. A level puts its terms in place of every plugin
    that any level of the factor names, and of what in `from` writes the same. Or a mapping of
    options to lists of values, where the name is a plugin's: the levels are `off`, and the plugin
    with every combination of the values. `changes` given as well are factors of two levels.
    """

    factors: Annotated[dict[str, Levels], Field(min_length=1)] | None = None


class PathDesign(_Changes):
    """From `from` to `to`, one change after another in the order of `changes`."""

    kind: Literal["path"]


class OneIn(_Changes):
    """`from`, and `from` with each change alone."""

    kind: Literal["one_in"]


class LeaveOneOut(_Changes):
    """`to`, `to` less each change, and `from`."""

    kind: Literal["leave_one_out"]


class OneInOneOut(_Changes):
    """`from` with each change alone, and `to` less each: whether a change does the same in both
    places.
    """

    kind: Literal["one_in_one_out"]


class Factorial(_Factors):
    """Every combination of the changes, or of the factors' levels."""

    kind: Literal["factorial"]


class FractionalFactorial(_Factors):
    """A regular fraction of the combinations of two-level factors, and `from` and `to`. At
    `resolution` III effects of one factor are aliased with interactions of two, at IV those
    interactions with each other, at V with those of three alone.
    """

    kind: Literal["fractional_factorial"]
    resolution: Annotated[int, Field(ge=3, le=5)] = 4


class Shapley(_Changes):
    """Each change's effect, averaged over the orders in which the changes can be made: shares that
    sum to the whole. Up to six changes, all legal orders; above, `orders` of them, drawn by `seed`
    in pairs of an order and its reverse.
    """

    kind: Literal["shapley"]
    orders: Annotated[int, Field(ge=4, multiple_of=2)] = 32
    seed: Annotated[int, Field(ge=0)] = 0


AnyDesign = (
    Compare
    | PathDesign
    | OneIn
    | LeaveOneOut
    | OneInOneOut
    | Factorial
    | FractionalFactorial
    | Shapley
    | Search
)
Design = Annotated[AnyDesign, Discriminator("kind")]


def misplaced(key: str) -> str | None:
    """What to say of a key that goes with other designs than the one it was given to; None where
    none takes it.
    """
    kinds = [
        get_args(m.model_fields["kind"].annotation)[0]
        for m in get_args(AnyDesign)
        if key in m.model_fields
    ]
    return f"{key!r} goes with design {' or '.join(kinds)}" if kinds else None
