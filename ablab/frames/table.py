"""Frames with given columns, which they have even where there are no rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

# Types of columns. All of them have missing values.
TEXT = "string"
NUMBER = "float64"
COUNT = "Int64"
FLAG = "boolean"
ANY = ""  # that of the values


def make_frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a frame.

    Args:
        rows: values by column. Those in a mapping have their keys joined by dots: the value
            `{"costs": {"parameters": 1.1}}` stands in the column `costs.parameters`. What a row
            lacks is missing in the frame.
        columns: type of each column, in order. Other values are left out.

    """
    frame = pd.json_normalize([dict(row) for row in rows])
    types = {name: kind for name, kind in columns.items() if kind != ANY}
    return frame.reindex(columns=list(columns)).astype(types)
