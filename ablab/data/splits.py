"""The division of a corpus into validation, test and training text.

Documents are ordered by the hash of their text. The first ones are held out for validation and the
next ones for the test, each up to its share of the bytes; the rest is the training split. Where
documents are too large for that, pieces of them are held out instead.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ablab.data.rows import Row
from ablab.data.spec import HubData, StdlibData, TextData
from ablab.data.windows import cut
from ablab.errors import UserError

# A held-out split may miss its share by this part of it, or of the corpus.
_TOLERANCE = 1 / 4
_TOLERANCE_OF_CORPUS = 1 / 200
# A piece has about this part of a share, and at most so many bytes.
_PIECE = 1 / 8
_LARGEST_PIECE = 16_384
_LEAST_SHARE = 128  # bytes, of which pieces have 16


@dataclass(frozen=True)
class Piece:
    """A text that is in one split as a whole: a document, or a part of one."""

    digest: str
    """Hash of the text."""
    size: int
    """Size in UTF-8 bytes."""

    @classmethod
    def of(cls, text: str) -> "Piece":
        """Return the piece that a text is."""
        data = text.encode()
        return cls(hashlib.sha256(data).hexdigest(), len(data))


def split_documents(
    rows: Iterable[Row], data: StdlibData | TextData | HubData
) -> dict[str, list[Row]]:
    """Return the texts of each split. No text is in two of them, or twice in one.

    Each held-out split has the share `data.holdout` of the bytes, or less if that is enough for one
    window of `data.window_bytes` of each document to make `data.holdout_bytes`. If whole documents
    do not allow for that, documents are cut into pieces of an eighth of the share, and the rest of
    a document stays in the training split.

    Raises UserError if there is too little text.
    """
    distinct = {Piece.of(row["text"]): row for row in rows}
    documents = [row for _, row in sorted(distinct.items(), key=lambda item: item[0].digest)]
    total = sum(piece.size for piece in distinct)
    share = data.holdout * total
    split = _divide(documents, [[row["text"]] for row in documents], data)
    if split is None and share >= _LEAST_SHARE:
        size = int(min(_PIECE * share, _LARGEST_PIECE))
        split = _divide(documents, [cut(row["text"], size) for row in documents], data)
    if split is None:
        raise UserError(
            f"data.holdout: {data.holdout:g} of the corpus each for val and test cannot be held "
            f"out of {total} bytes in {len(documents)} document(s), which are too few or repeat "
            "themselves: give more text, or another `holdout`"
        )
    return split


def whole_documents_fit(documents: Iterable[Piece], data: StdlibData | TextData | HubData) -> bool:
    """Return whether `split_documents` holds out whole documents."""
    return _hold_out(list(set(documents)), data) is not None


def _divide(
    documents: Sequence[Row],
    texts: Sequence[Sequence[str]],
    data: StdlibData | TextData | HubData,
) -> dict[str, list[Row]] | None:
    """Return the texts of each split; None if the held-out splits would not have their shares.

    `texts` are the pieces of each document.
    """
    pieces = [[Piece.of(text) for text in parts] for parts in texts]
    held = _hold_out([piece for parts in pieces for piece in parts], data)
    if held is None:
        return None
    split_of = {piece: name for name, held_pieces in held.items() for piece in held_pieces}
    rows: dict[str, dict[Piece, Row]] = {name: {} for name in held}
    train: list[Row] = []
    for document, document_pieces, parts in zip(documents, pieces, texts, strict=True):
        names = [split_of.get(piece, "train") for piece in document_pieces]
        for name, start, stop in _runs(names):
            if name == "train":
                train.append(_part(document, parts, start, stop))
                continue
            for i in range(start, stop):
                rows[name][document_pieces[i]] = _part(document, parts, i, i + 1)
    held_rows = {name: [rows[name][piece] for piece in held[name]] for name in held}
    return {**held_rows, "train": train}


def _runs(names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield runs of equal names, with their first position and the one after their last."""
    start = 0
    for name, run in groupby(names):
        stop = start + len(list(run))
        yield name, start, stop
        start = stop


def _part(document: Row, texts: Sequence[str], start: int, stop: int) -> Row:
    if len(texts) == 1:
        return document
    return {"name": f"{document['name']}#{start}", "text": "".join(texts[start:stop])}


def _hold_out(
    pieces: Sequence[Piece], data: StdlibData | TextData | HubData
) -> dict[str, list[Piece]] | None:
    """Return the pieces of the held-out splits; None if a split would not have its share.

    A piece may occur several times. It is held out once, and its other occurrences are in no split.
    """
    total = sum(piece.size for piece in pieces)
    share = data.holdout * total
    tolerance = max(_TOLERANCE * share, _TOLERANCE_OF_CORPUS * total)
    ordered = sorted(set(pieces), key=lambda piece: piece.digest)
    held: dict[str, list[Piece]] = {}
    for following, name in ((2, "val"), (1, "test")):
        last = len(ordered) - following  # pieces remain for the splits that follow
        size = 0
        in_windows = 0
        count = 0
        while size < share and in_windows < data.holdout_bytes and count < last:
            size += ordered[count].size
            in_windows += min(ordered[count].size, data.window_bytes)
            count += 1
        is_enough = size >= share - tolerance or in_windows >= data.holdout_bytes
        if count == 0 or not is_enough or size > share + tolerance:
            return None
        held[name] = ordered[:count]
        ordered = ordered[count:]
    left = set(ordered)
    train = sum(piece.size for piece in pieces if piece in left)
    return held if train >= total - 2 * (share + tolerance) and left else None
