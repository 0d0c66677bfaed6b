"""Token ids on disk that are checked as they are read: a corpus may have many gigabytes, of which a
run reads a part.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from ablab.sealed import DamagedFile

CHUNK_BYTES = 1 << 22


class CheckedTokens:
    """Memory-mapped token ids, of which each chunk is compared with its digest before it is read
    for the first time.
    """

    def __init__(self, path: Path, dtype: str, digests: tuple[str, ...]) -> None:
        self._path = path
        self._digests = digests
        self._unchecked = np.ones(len(digests), dtype=bool)
        self._tokens = np.memmap(path, dtype=dtype, mode="r")
        self._chunk = CHUNK_BYTES // self._tokens.itemsize

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Return the tokens at the integers `index`, of its shape.

        Raises:
            DamagedFile: if a chunk that has one of them is not what was stored.

        """
        if self._unchecked.any():
            read = np.zeros_like(self._unchecked)
            read[index // self._chunk] = True
            for number in np.flatnonzero(read & self._unchecked):
                self._check(int(number))
        return self._tokens[index]

    def _check(self, number: int) -> None:
        chunk = self._tokens[number * self._chunk : (number + 1) * self._chunk]
        if hashlib.sha256(chunk.data).hexdigest() != self._digests[number]:
            raise DamagedFile(self._path, f"the digest of chunk {number} does not match")
        self._unchecked[number] = False


def checked_tokens(path: Path, dtype: str, count: int, digests: tuple[str, ...]) -> CheckedTokens:
    """Return the `count` tokens of a file. A process checks each chunk once, unless the file
    changes.

    Raises:
        DamagedFile: if the file is missing, or has another size.

    """
    try:
        stat = path.stat()
        if stat.st_size != count * np.dtype(dtype).itemsize:
            raise DamagedFile(path, "its size is not what was stored")
        return _opened(path, dtype, digests, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except FileNotFoundError:
        raise DamagedFile(path, "it is missing") from None


@lru_cache(maxsize=4)
def _opened(
    path: Path, dtype: str, digests: tuple[str, ...], signature: tuple[int, int, int]
) -> CheckedTokens:
    return CheckedTokens(path, dtype, digests)


class ChunkDigests:
    """Digests (SHA-256) of the chunks of a file that is being written."""

    def __init__(self) -> None:
        self._digests: list[str] = []
        self._current = hashlib.sha256()
        self._length = 0  # bytes in the current chunk

    def update(self, block: bytes) -> None:
        """Take the bytes that are written next."""
        left = memoryview(block)
        while left:
            part = left[: CHUNK_BYTES - self._length]
            self._current.update(part)
            self._length += len(part)
            left = left[len(part) :]
            if self._length == CHUNK_BYTES:
                self._end_chunk()

    def finish(self) -> tuple[str, ...]:
        """Return the digests of all chunks; the last may be shorter than the others."""
        if self._length:
            self._end_chunk()
        return tuple(self._digests)

    def _end_chunk(self) -> None:
        self._digests.append(self._current.hexdigest())
        self._current = hashlib.sha256()
        self._length = 0
