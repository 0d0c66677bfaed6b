"""Sources of documents. A source returns a `datasets` dataset with columns `name` and `text`.

The datasets library is imported only here, when it is needed. Without it, local sources return a
list of the same rows.
"""

import hashlib
import importlib.util
import os
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

from ablab.data.spec import HubData, StdlibData, TextData
from ablab.errors import UserError

_EXCLUDED = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "_vendor",
    "_bundled",
}
_FEW_FILES = 20
_PIECE_BYTES = 16_384


class Row(TypedDict):
    """A document."""

    name: str
    text: str


def documents(data: StdlibData | TextData | HubData) -> Iterable[Row]:
    """Return the documents of a source, as a `datasets` dataset. Raises UserError if it cannot be
    read.
    """
    if isinstance(data, HubData):
        return _hub(data)
    rows = list(_stdlib_rows() if isinstance(data, StdlibData) else _text_rows(data))
    if importlib.util.find_spec("datasets") is None:
        return rows
    import datasets

    documents = [dict(row) for row in rows]
    return datasets.Dataset.from_list(documents)  # pyright: ignore[reportReturnType]


def fingerprint(data: StdlibData | TextData | HubData) -> str:
    """Return a hash of the content of a source: of the bytes of its files, or of the name, revision
    and selection of a remote dataset.
    """
    digest = hashlib.sha256(data.source.encode())
    for path in _files(data):
        digest.update(f"\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    if isinstance(data, HubData):
        digest.update(
            data.model_dump_json(
                exclude={"tokenizer", "holdout", "holdout_bytes", "window_bytes"}
            ).encode()
        )
    return digest.hexdigest()


def _files(data: StdlibData | TextData | HubData) -> list[Path]:
    if isinstance(data, StdlibData):
        return _stdlib_files()
    if isinstance(data, TextData):
        return _text_files(data)
    folder = Path(data.name)
    return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []


def _stdlib_files() -> list[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    files: list[Path] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _EXCLUDED]
        files += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(files)


def _stdlib_rows() -> Iterator[Row]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in _stdlib_files():
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # a few files declare another encoding and are not part of the corpus
        if text:
            yield {"name": path.relative_to(root).as_posix(), "text": text}


def _text_files(data: TextData) -> list[Path]:
    files: set[Path] = set()
    for pattern in data.files:
        matches = {
            Path(m) for m in glob(os.path.expanduser(pattern), recursive=True) if Path(m).is_file()
        }
        if not matches:
            raise UserError(f"data.files: {pattern!r} matches no file (looked from {Path.cwd()})")
        files |= matches
    return sorted(files)


def _text_rows(data: TextData) -> Iterator[Row]:
    files = _text_files(data)
    for path in files:
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"data.files: {path} is not UTF-8 text (byte {error.start}); convert it or "
                "leave it out"
            ) from None
        # A few files are too coarse to be divided among splits, so they are cut at line ends.
        pieces = _cut(text) if len(files) < _FEW_FILES else [text]
        for number, piece in enumerate(pieces):
            if piece:
                yield {
                    "name": f"{path.as_posix()}#{number}" if len(pieces) > 1 else path.as_posix(),
                    "text": piece,
                }


def _cut(text: str) -> list[str]:
    """Cut a text at line ends into pieces of about `_PIECE_BYTES`."""
    pieces: list[list[str]] = [[]]
    size = 0
    for line in text.splitlines(keepends=True):
        if size >= _PIECE_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(line)
        size += len(line.encode())
    return ["".join(piece) for piece in pieces]


def _hub(data: HubData) -> Iterable[Row]:
    rows: Any = _load_hub(data)
    with _reachable(data):
        columns = rows.column_names or list(next(iter(rows), {}))
        if data.column not in columns:
            raise UserError(
                f"data.column: {data.name!r} has no column {data.column!r} (columns: "
                f"{', '.join(columns)})"
            )
        limited = (
            islice(rows, data.limit)
            if data.streaming
            else rows.select(range(min(data.limit or len(rows), len(rows))))
        )
        texts = [(i, row[data.column]) for i, row in enumerate(limited) if row[data.column]]
    for i, text in texts:
        if not isinstance(text, str):
            raise UserError(
                f"data.column: row {i} of {data.column!r} holds {type(text).__name__}, not text"
            )
    import datasets

    documents = [{"name": f"{data.split}/{i}", "text": text} for i, text in texts]
    if not documents:
        return []
    return datasets.Dataset.from_list(documents)  # pyright: ignore[reportReturnType]


def _load_hub(data: HubData) -> Any:
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            "data.source: hub needs the datasets library (`pip install datasets`); stdlib "
            "and text work without"
        )
    import datasets

    with _reachable(data):
        return datasets.load_dataset(
            data.name,
            data.config,
            revision=data.revision,
            split=data.split,
            streaming=data.streaming,
        )


@contextmanager
def _reachable(data: HubData) -> Iterator[None]:
    """Convert errors of the datasets library to a UserError of one line."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except UserError:
        raise
    except (ValueError, FileNotFoundError, DatasetsError) as error:
        raise UserError(
            f"data.name: {data.name!r} cannot be loaded: {_first_line(error)}{_offline(data)}"
        ) from error
    except Exception as error:  # the hub client has many network errors and no common base
        raise UserError(
            f"data.name: {data.name!r} is out of reach ({_first_line(error)}){_offline(data)}"
        ) from error


def _offline(data: HubData) -> str:
    if Path(data.name).exists():
        return ""
    return (
        "; without a network these work: source stdlib, source text, and hub with a local folder "
        "as its name"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
