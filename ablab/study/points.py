"""Points that fill a space of options evenly: where trials begin, the same for every arm."""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from scipy.stats import qmc

from ablab.study.tuning_schema import Range, Space

Point = dict[str, Any]


def spread(space: Space, count: int) -> list[Point]:
    """`count` points. One option: evenly, both ends among them. Lists with as many combinations: each once. Else a Latin
    hypercube, always the same.
    """
    lists = [values for values in space.values() if not isinstance(values, Range)]
    if len(lists) == len(space) and prod(map(len, lists)) == count:
        return [dict(zip(space, values, strict=True)) for values in product(*lists)]
    if len(space) == 1:
        places = np.linspace(0, 1, count).reshape(-1, 1)
    else:
        places = qmc.LatinHypercube(len(space), rng=0).random(count)
    return [{name: _at(space[name], u) for name, u in zip(space, row, strict=True)} for row in places.tolist()]


def _at(values: Sequence[Any] | Range, place: float) -> Any:
    """The value at a place from 0 to 1."""
    if not isinstance(values, Range):
        return values[min(int(place * len(values)), len(values) - 1)]
    if values.log:
        return float(np.clip(values.low * (values.high / values.low) ** place, values.low, values.high))
    return values.low + (values.high - values.low) * place
