"""Text cut to what belongs in a report."""

import re
from collections.abc import Iterable, Mapping, Sequence

_MOST = 20  # of one kind are listed; the rest are counted
_IN_A_LINE = 8
# An absolute path's folders: what precedes is neither part of a word nor of an address.
_FOLDERS = re.compile(r"(?<![\w.:/\\~])~?/(?:[^/\s'\",\]}:]+/)+(?=[^/\s])")


def bare(text: str) -> str:
    """Text without the folders of absolute paths: they are this machine's own."""
    return _FOLDERS.sub("", text)


def some(lines: Iterable[str]) -> list[str]:
    """The first lines of one kind, and how many more there are."""
    every = list(lines)
    return (
        every if len(every) <= _MOST else [*every[:_MOST], f"and {len(every) - _MOST} more like it"]
    )


def in_a_line(names: Sequence[str]) -> str:
    """The first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - _IN_A_LINE} more" if len(names) > _IN_A_LINE else ""
    return ", ".join(names[:_IN_A_LINE]) + more


def some_of(reasons: Mapping[str, str]) -> dict[str, str]:
    """The same of what has a name."""
    listed = dict(list(reasons.items())[:_MOST])
    if len(listed) == len(reasons):
        return listed
    return {**listed, f"and {len(reasons) - _MOST} more": "not listed"}
