"""The equivalence margin: effects smaller than it count as equivalent to zero.

It is part of the study file, so that it is fixed before any result is known.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ablab.text.truncate import shown

DEFAULT = "0.5 %"
_MAX = 1e9
# With an exponent, since the normalized form of a small percentage has one.
_PERCENT = re.compile(r"\s*((?:\d+(?:\.\d*)?|\.\d+)(?:e-?\d+)?)\s*%\s*", re.IGNORECASE)


def _margin(value: Any) -> Any:
    """Accept a positive number or a percentage, which is normalized to the form `0.5 %`.

    A percentage is below 100: within such a margin even an effect as large as the metric itself
    would count as none.
    """
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is not None and 0 < float(match[1]) < 100:
        return f"{float(match[1]):g} %"
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 < value <= _MAX
    ):
        return float(value)
    raise ValueError(
        f"a number above 0 in the metric's units ({_MAX:g} at most), or a percentage of the "
        f"baseline's mean below 100 ('0.5 %'), not {shown(value)}"
    )


_Absolute = Annotated[float, Field(gt=0, le=_MAX)]
_Percentage = Annotated[str, Field(max_length=100)]
Margin = Annotated[Any, BeforeValidator(_margin, json_schema_input_type=_Absolute | _Percentage)]


def margin_of(margin: float | str, baseline_mean: float | None) -> float | None:
    """Return a study's margin in the metric's unit.

    None if it is a percentage and the baseline's mean is unknown.
    """
    if not isinstance(margin, str):
        return margin
    if baseline_mean is None:
        return None
    return float(margin.removesuffix("%")) / 100 * abs(baseline_mean)
