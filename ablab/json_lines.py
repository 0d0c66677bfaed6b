"""Files of JSON lines to which several processes append; every line carries its checksum.

A line is `{…, "crc": "0123abcd"}`, where the checksum (CRC-32) is that of the line without it. A
line that a kill or a power failure cut off, or that was damaged since, is left out on reading and
does no harm to the lines after it.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablab.fence import permission
from ablab.files import write_atomically

_MARK = b', "crc": "'
_END = b'"}'


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row, which must not be empty, to a file to which others may append as well."""
    with permission(path):
        # The folder is made again: it may have been removed meanwhile.
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.write(_separator(file.tell(), path) + _line(row))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the content of a file, completely or not at all."""
    content = b"".join(map(_line, rows))
    write_atomically(path, lambda file: file.write(content))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows whose lines are complete and undamaged; none if there is no file.

    Lines without a checksum were written by earlier versions, which only counts before the first
    line that has one.
    """
    return [row for row in _rows(path) if row is not None]


def damaged_count(path: Path) -> int:
    """Return the number of lines that are cut off or damaged."""
    return sum(row is None for row in _rows(path))


def _rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the row of each line; None if it is cut off or damaged."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return
    checked = False
    for line in lines:
        body, mark, end = line.rpartition(_MARK)
        checked = checked or bool(mark)
        if mark:
            body += b"}"
            is_whole = end.removesuffix(b"\n") == _checksum(body) + _END
        else:
            body = line
            is_whole = line.endswith(b"\n") and not checked
        yield _parsed(body) if is_whole else None


def _separator(size: int, path: Path) -> bytes:
    """Return what ends a line that was cut off, so that it does not swallow the next."""
    if not size:
        return b""
    with path.open("rb") as file:
        file.seek(-1, 2)
        return b"" if file.read(1) == b"\n" else b"\n"


def _line(row: Mapping[str, Any]) -> bytes:
    body = json.dumps(row).encode()
    return body[:-1] + _MARK + _checksum(body) + _END + b"\n"


def _checksum(body: bytes) -> bytes:
    return f"{zlib.crc32(body):08x}".encode()


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(body)
    except ValueError:  # neither JSON nor UTF-8
        return None
    return row if isinstance(row, dict) else None
