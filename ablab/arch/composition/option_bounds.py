"""Bounds of the options of all plugins, which have narrower ones of their own."""

import math
from collections.abc import Mapping
from typing import Any

from ablab.errors import UserError
from ablab.text.truncate import shown

_MAX_NUMBER = 1e15
_MAX_ITEMS = 256
_MAX_DEPTH = 5


def require_sane(place: str, value: Any, depth: int = 0) -> None:
    """Raise UserError if the value of an option is larger than any plugin has use for."""
    if isinstance(value, int | float) and _MAX_NUMBER < abs(value) < math.inf:
        raise UserError(f"{place}: {_MAX_NUMBER:g} is the largest number, not {shown(value)}")
    if isinstance(value, str | bytes | list | tuple | set | Mapping) and len(value) > _MAX_ITEMS:
        raise UserError(f"{place}: at most {_MAX_ITEMS} items or characters, not {len(value):,}")
    if isinstance(value, list | tuple | set | Mapping):
        if depth == _MAX_DEPTH:
            raise UserError(f"{place}: values are nested more than {_MAX_DEPTH} deep")
        items = value.values() if isinstance(value, Mapping) else value
        for item in items:
            require_sane(place, item, depth + 1)
