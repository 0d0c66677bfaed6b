"""Windows of held-out text: what validation and testing score.

The scores of two arms differ from document to document, so the error of a mean over documents falls
with their number. A few bytes of many documents therefore say more than all of a few documents.
Windows are cut from text, not from tokens, so that arms with different tokenizers are scored on
exactly the same bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A window of a held-out document. It is scored without the text before it."""

    document: int
    """Index of the document in its split."""
    text: str
    """The text."""


def cut(text: str, size: int) -> list[str]:
    """Cut a text into consecutive windows of about `size` bytes: half of it up to 1.5 times.

    A window starts at the start of a line if there is one in the second half of the window before,
    otherwise at a character.
    """
    data = text.encode()
    windows: list[str] = []
    start = 0
    while len(data) - start > 1.5 * size:
        end = data.rfind(b"\n", start + size // 2, start + size) + 1
        if end == 0:
            end = start + size
            while data[end] & 0xC0 == 0x80:  # not the first byte of a character (RFC 3629)
                end -= 1
        windows.append(data[start:end].decode())
        start = end
    return [*windows, data[start:].decode()]


def sample_windows(texts: Sequence[str], size: int, total: int) -> list[Window]:
    """Return windows of about `size` bytes of every text: all of them if they have no more than
    `total` bytes, otherwise about `total` bytes, but at least one window of each text.

    The windows of a text are drawn in the order of their hashes, in rounds: one of each text, then
    a second one of each text that has more, and so on. A long text therefore does not dominate the
    sample. The result is ordered by text and position, and no byte is in two windows.
    """
    draws: list[tuple[int, str, int, int]] = []  # (round, hash, text, position)
    windows = [cut(text, size) for text in texts]
    for document, pieces in enumerate(windows):
        hashes = sorted((_hash(piece), position) for position, piece in enumerate(pieces))
        draws += [(i, digest, document, at) for i, (digest, at) in enumerate(hashes)]
    chosen: list[tuple[int, int]] = []
    scored = 0
    for draw, _, document, position in sorted(draws):
        if draw > 0 and scored >= total:
            break
        chosen.append((document, position))
        scored += len(windows[document][position].encode())
    return [Window(document, windows[document][position]) for document, position in sorted(chosen)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
