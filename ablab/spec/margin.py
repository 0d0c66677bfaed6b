"""The margin: within which effects count as nil. It is fixed before any run, so that no result can
move it.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

DEFAULT = "0.5 %"
_PERCENT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")


def _margin(value: Any) -> Any:
    """A positive number, or text in percent in one spelling."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)) and float(found[1]) > 0:
        return f"{float(found[1]):g} %"
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    ):
        return float(value)
    raise ValueError(
        "a number above 0 in the metric's units, or a percentage of the baseline's mean "
        f"('0.5 %'), not {value!r}"
    )


Margin = Annotated[Any, BeforeValidator(_margin, json_schema_input_type=float | str)]


def margin_of(margin: float | str, baseline_mean: float | None) -> float | None:
    """Return a study's margin in the metric's units.

    None where it is a percentage of a mean that is not known.
    """
    if not isinstance(margin, str):
        return margin
    if baseline_mean is None:
        return None
    return float(margin.removesuffix("%")) / 100 * abs(baseline_mean)
