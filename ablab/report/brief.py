"""Text cut to what belongs in a report."""

import re
from collections.abc import Iterable, Mapping

_MOST = 20  # of one kind are listed; the rest are counted
# An absolute path's folders: what precedes is neither part of a word nor of an address.
_FOLDERS = re.compile(r"(?<![\w.:/\\~])~?/(?:[^/\s'\",\]}:]+/)+(?=[^/\s])")


def bare(text: str) -> str:
    """Text without the folders of absolute paths: they are this machine's own."""
    return _FOLDERS.sub("", text)


def some(lines: Iterable[str]) -> list[str]:
    """The first lines of one kind, and how many more there are."""
    every = list(lines)
    return every if len(every) <= _MOST else [*every[:_MOST], f"and {len(every) - _MOST} more like it"]


def some_of(reasons: Mapping[str, str]) -> dict[str, str]:
    """The same of what has a name."""
    kept = dict(list(reasons.items())[:_MOST])
    return kept if len(kept) == len(reasons) else {**kept, f"and {len(reasons) - _MOST} more": "not listed"}
