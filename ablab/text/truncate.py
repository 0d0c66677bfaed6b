"""Text and lists shortened to what belongs in a report."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MAX_LINES = 20  # lines of one kind that are listed; of the rest only the number is given
_MAX_IN_LINE = 8
_MAX_SHOWN = 200  # characters of a value in a message
# The folders of an absolute path; what precedes them is part of neither a word nor a URL.
_FOLDERS = re.compile(r"(?<![\w.:/\\~])~?/(?:[^/\s'\",\]}:]+/)+(?=[^/\s])")


def bare(text: str) -> str:
    """Return the text without the folders of absolute paths, which are specific to a machine."""
    return _FOLDERS.sub("", text)


def shown(value: Any) -> str:
    """Return the representation of a value for a message, shortened where it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def some(lines: Iterable[str]) -> list[str]:
    """Return the first lines of one kind, and the number of the others."""
    every = list(lines)
    if len(every) <= _MAX_LINES:
        return every
    return [*every[:_MAX_LINES], f"and {len(every) - _MAX_LINES} more like it"]


def in_a_line(names: Sequence[str]) -> str:
    """Return the first names and the number of the others, as `a, b and 3 more`."""
    text = ", ".join(names[:_MAX_IN_LINE])
    if len(names) > _MAX_IN_LINE:
        return f"{text} and {len(names) - _MAX_IN_LINE} more"
    return text


def some_of(reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the first reasons by name, and the number of the others."""
    listed = dict(list(reasons.items())[:_MAX_LINES])
    if len(listed) == len(reasons):
        return listed
    return {**listed, f"and {len(reasons) - _MAX_LINES} more": "not listed"}
