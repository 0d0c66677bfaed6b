"""Checks files to which lines are appended."""

from collections.abc import Iterator
from pathlib import Path

from ablab.fsck.finding import Finding
from ablab.json_lines import damaged_count, read_rows, write_rows


def damaged_lines(path: Path) -> Iterator[Finding]:
    """Yield a finding if lines of a file are damaged: readers leave them out."""
    count = damaged_count(path)
    if count:
        yield Finding(
            path,
            f"has {count} damaged line(s), which are ignored",
            "remove them",
            lambda: write_rows(path, read_rows(path)),
        )
