"""Checks files to which lines are appended."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ablab.fsck.finding import Finding
from ablab.json_lines import damaged_count, read_rows, write_rows


def damaged_lines(
    path: Path, remedy: str = "remove them", repair: Callable[[], object] | None = None
) -> Iterator[Finding]:
    """Yield a finding if lines of a file are damaged: readers leave them out.

    `repair` does what `remedy` says; by default, the damaged lines are removed.
    """
    count = damaged_count(path)
    if count:
        yield Finding(
            path,
            f"has {count} damaged line(s), which are ignored",
            remedy,
            repair or (lambda: write_rows(path, read_rows(path))),
        )
