"""The models of `design` in a study file."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from ablab.spec.base import MAX_ITEMS, Config, Expression, Label, Seed
from ablab.spec.search import Search
from ablab.text.truncate import shown


def _levels(value: Any) -> Any:
    """Accept a list of levels, or a mapping of options to lists of values."""
    if isinstance(value, list) and all(isinstance(level, str) for level in value):
        return value
    if isinstance(value, dict) and all(
        isinstance(choices, list) and choices for choices in value.values()
    ):
        return value
    raise ValueError(
        "a list of levels is expected (terms as in `changes`, or `off`), or, for a factor named "
        f"after a plugin, a mapping of its options to lists of values, not {shown(value)}"
    )


_Texts = Annotated[list[Expression], Field(max_length=MAX_ITEMS)]
_Options = Annotated[
    dict[Label, Annotated[list[Any], Field(max_length=MAX_ITEMS)]], Field(max_length=MAX_ITEMS)
]
Levels = Annotated[
    Annotated[_Texts, Tag("[list]")] | Annotated[_Options, Tag("[mapping]")],
    Discriminator(lambda value: "[list]" if isinstance(value, list) else "[mapping]"),
    BeforeValidator(_levels, json_schema_input_type=_Texts | _Options),
]


class Compare(Config):
    """Compares every arm with a baseline arm."""

    kind: Literal["compare"] = "compare"
    """The design's kind."""
    baseline: Label | None = None
    """The arm that the others are compared with. Defaults to the first arm, or to `from` in a study
    without `arms`.
    """


class _Changes(Config):
    """The key that most designs share."""

    changes: Annotated[list[Expression], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """The changes to study, as terms of a model expression (`rope`, `- scaled_init`). Defaults to
    all differences between `from` and `to`.
    """


class _Factors(_Changes):
    """The keys of designs that cross factors."""

    factors: Annotated[dict[Label, Levels], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """Factors by name, each with its levels; the first level is the reference.

    Levels are either a list of terms as in `changes` (`rope`, `rope(base=5e5)`, `- scaled_init`, or
    a group `a + b`), where `off` means none of the factor's plugins; or, for a factor named after a
    plugin, a mapping of its options to lists of values, whose levels are `off` and the plugin with
    every combination of the values. A level replaces every plugin that any level of the factor
    names, and every plugin of `from` that writes to the same slots. Changes listed in `changes` are
    further factors of two levels.
    """


class PathDesign(_Changes):
    """Goes from `from` to `to` by one change at a time, in the order of `changes`."""

    kind: Literal["path"]
    """The design's kind."""


class OneIn(_Changes):
    """Trains `from`, and `from` with each change alone."""

    kind: Literal["one_in"]
    """The design's kind."""


class LeaveOneOut(_Changes):
    """Trains `to`, `to` without each change in turn, and `from`."""

    kind: Literal["leave_one_out"]
    """The design's kind."""


class OneInOneOut(_Changes):
    """Trains `from` with each change alone and `to` without each change, which tells whether a
    change has the same effect at both ends.
    """

    kind: Literal["one_in_one_out"]
    """The design's kind."""


class Factorial(_Factors):
    """Trains every combination of the changes, or of the factors' levels."""

    kind: Literal["factorial"]
    """The design's kind."""


class FractionalFactorial(_Factors):
    """Trains a regular fraction of the combinations of two-level factors, plus `from` and `to`."""

    kind: Literal["fractional_factorial"]
    """The design's kind."""
    resolution: Annotated[int, Field(ge=3, le=5)] = 4
    """The design's resolution. At 3, main effects are aliased with two-factor interactions; at 4,
    two-factor interactions are aliased with each other; at 5, only with three-factor interactions.
    """


class Shapley(_Changes):
    """Averages each change's effect over the orders in which the changes can be made, so that the
    effects sum to the total. All legal orders are used up to six changes, a random sample above.
    """

    kind: Literal["shapley"]
    """The design's kind."""
    orders: Annotated[int, Field(ge=4, le=1_000, multiple_of=2)] = 32
    """Number of orders to sample with more than six changes, in pairs of an order and its
    reverse.
    """
    seed: Seed = 0
    """Random seed for sampling the orders."""


class Contexts(Config):
    """Trains every context with and without each change, which tells whether a change helps
    wherever it is made.
    """

    kind: Literal["contexts"]
    """The design's kind."""
    contexts: Annotated[list[Expression], Field(min_length=1, max_length=MAX_ITEMS)]
    """Model expressions that the changes are made to. A margin in percent refers to the first."""
    changes: Annotated[list[Expression], Field(min_length=1, max_length=MAX_ITEMS)]
    """The changes, as terms of a model expression (`rope`, `- scaled_init`, `a + b`). In a context
    they replace the plugins that they conflict with.
    """


AnyDesign = (
    Compare
    | PathDesign
    | OneIn
    | LeaveOneOut
    | OneInOneOut
    | Contexts
    | Factorial
    | FractionalFactorial
    | Shapley
    | Search
)
Design = Annotated[AnyDesign, Discriminator("kind")]


def misplaced(key: str) -> str | None:
    """Return a message that names the designs which have `key`; None if there are none."""
    kinds = [
        get_args(m.model_fields["kind"].annotation)[0]
        for m in get_args(AnyDesign)
        if key in m.model_fields
    ]
    if not kinds:
        return None
    return f"{key!r} goes with design {' or '.join(kinds)}"
