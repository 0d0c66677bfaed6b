"""Sources of documents. A source returns a `datasets` dataset with columns `name` and `text`.

The datasets library is imported only when it is needed. Without it, local sources return a list of
the same rows.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablab.data.files import STDLIB, corpus_files, shown
from ablab.data.hub import hub_rows
from ablab.data.rows import Row
from ablab.data.spec import HubData, StdlibData, TextData
from ablab.errors import UserError

_FEW_FILES = 20
_PIECE_BYTES = 16_384


def documents(
    data: StdlibData | TextData | HubData, excluded: Sequence[Path] = ()
) -> Iterable[Row]:
    """Return the documents of a source, as a `datasets` dataset. `excluded` are never read.

    Raises UserError if the source cannot be read.
    """
    if isinstance(data, HubData):
        rows = hub_rows(data, excluded)
    else:
        rows = list(local_rows(data, excluded))
    if not rows or importlib.util.find_spec("datasets") is None:
        return rows
    import datasets

    columns = [dict(row) for row in rows]
    return datasets.Dataset.from_list(columns)  # pyright: ignore[reportReturnType]


def local_rows(data: StdlibData | TextData, excluded: Sequence[Path] = ()) -> Iterator[Row]:
    """Yield the documents of files. Raises UserError for a file that is not UTF-8 text."""
    files = corpus_files(data, excluded)
    return _stdlib_rows(files) if isinstance(data, StdlibData) else _text_rows(files)


def fingerprint(data: StdlibData | TextData | HubData, excluded: Sequence[Path] = ()) -> str:
    """Return a hash of the content of a source: of the bytes of its files, or of the name, revision
    and selection of a remote dataset.
    """
    digest = hashlib.sha256(data.source.encode())
    for path in corpus_files(data, excluded):
        if isinstance(data, HubData):  # a dataset's splits are read from the names of its files
            digest.update(b"\0" + bytes(path.relative_to(data.name)))
        digest.update(f"\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    if isinstance(data, HubData):
        digest.update(
            data.model_dump_json(
                exclude={"tokenizer", "holdout", "holdout_bytes", "window_bytes"}
            ).encode()
        )
    return digest.hexdigest()


def _stdlib_rows(files: Iterable[Path]) -> Iterator[Row]:
    for path in files:
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # a few files declare another encoding and are not part of the corpus
        if text:
            yield {"name": path.relative_to(STDLIB).as_posix(), "text": text}


def _text_rows(files: Sequence[Path]) -> Iterator[Row]:
    for path in files:
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"data.files: {shown(path)} is not UTF-8 text (byte {error.start}); convert it or "
                "leave it out"
            ) from None
        # Few files are cut at line ends, so that every split has text of each.
        pieces = _cut(text) if len(files) < _FEW_FILES else [text]
        for number, piece in enumerate(pieces):
            if piece:
                name = shown(path)
                yield {"name": f"{name}#{number}" if len(pieces) > 1 else name, "text": piece}


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
