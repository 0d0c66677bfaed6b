"""Tokens that are checked chunk by chunk, as they are read."""

import hashlib
import os

import numpy as np
import pytest

from ablab.data.checked_tokens import CHUNK_BYTES, ChunkDigests, checked_tokens
from ablab.sealed import DamagedFile

TOKENS = np.random.default_rng(0).integers(0, 60_000, 5_000_000, dtype=np.uint16)  # 2.4 chunks
CHUNK = CHUNK_BYTES // 2


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "train.bin"
    path.write_bytes(TOKENS.tobytes())
    return path


def digests():
    content = TOKENS.tobytes()
    chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
    return tuple(hashlib.sha256(chunk).hexdigest() for chunk in chunks)


def opened(path):
    return checked_tokens(path, "uint16", len(TOKENS), digests())


def flip(path, token):
    """Change one token, and nothing else that a file system tells."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(2 * token)
        file.write((int(TOKENS[token]) ^ 1).to_bytes(2, "little"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("sizes", [[10_000_000], [1, CHUNK_BYTES, 7], [CHUNK_BYTES] * 2])
def test_the_digests_do_not_depend_on_how_the_content_comes(sizes):
    made, content = ChunkDigests(), TOKENS.tobytes()
    for size in sizes:
        made.update(content[:size])
        content = content[size:]
    made.update(content)
    assert made.finish() == digests()


def test_what_is_read_is_what_was_stored(file):
    tokens = opened(file)
    index = np.random.default_rng(1).integers(0, len(TOKENS), (64, 9))
    assert len(tokens) == len(TOKENS)
    assert np.array_equal(tokens[index], TOKENS[index])


def test_only_the_chunk_that_is_damaged_is_refused(file):
    flip(file, CHUNK + 5)
    tokens = opened(file)
    around = np.array([[0, CHUNK - 1], [2 * CHUNK, len(TOKENS) - 1]])
    assert np.array_equal(tokens[around], TOKENS[around])
    for _ in range(2):
        with pytest.raises(DamagedFile, match="the digest of chunk 1 does not match"):
            tokens[np.array([[0, CHUNK]])]


def test_a_process_checks_a_chunk_once_unless_the_file_changes(file):
    index = np.arange(10)
    opened(file)[index]
    flip(file, 3)  # inode, size and time stay
    assert opened(file)[index][3] == TOKENS[3] ^ 1
    file.touch()
    with pytest.raises(DamagedFile, match="chunk 0"):
        opened(file)[index]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES])
def test_a_file_of_another_size_is_damaged(file, size):
    with file.open("r+b") as content:
        content.truncate(size)
    with pytest.raises(DamagedFile, match="its size is not what was stored"):
        opened(file)


def test_a_file_that_is_gone_is_damaged(file):
    file.unlink()
    with pytest.raises(DamagedFile, match="it is missing"):
        opened(file)
