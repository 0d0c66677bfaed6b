"""The token store: a corpus that is tokenized once, as memory-mapped arrays with a manifest, for
all runs.

The validation and test splits hold windows of their documents. Every training document and every
window is preceded by an end-of-text token.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ablab.data import sources, tokenizers
from ablab.data.checked_tokens import CheckedTokens, ChunkDigests, checked_tokens
from ablab.data.rows import Row
from ablab.data.spec import HubData, StdlibData, TextData
from ablab.data.splits import Piece, split_documents, whole_documents_fit
from ablab.data.tokenizers import Encoding
from ablab.data.windows import sample_windows
from ablab.errors import UserError
from ablab.files import file_sha256, publish_folder
from ablab.sealed import DamagedFile, read_sealed, require_digest, write_sealed

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
_VERSION = 2


@dataclass(frozen=True)
class Split:
    """The sizes of a split. `bytes` is the size of its text in UTF-8: of its documents, or of their
    windows.

    `windows` holds the document, by index, and the bytes of each window of a held-out split. It is
    empty for the training split, and in stores of versions of ablab that scored whole documents.

    `corpus_bytes` is the size of its documents; 0 in stores of earlier versions.

    `chunks` are the digests of the chunks of its tokens; empty in stores of earlier versions.
    """

    tokens: int
    bytes: int
    documents: int
    sha256: str
    windows: tuple[tuple[int, int], ...] = ()
    corpus_bytes: int = 0
    chunks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TokenStore:
    """A token store on disk."""

    folder: Path
    fingerprint: str
    vocab: int
    end_of_text: int
    dtype: str
    splits: dict[str, Split]

    tokenizer_sha256: str | None = None
    """Digest of the tokenizer's file; None in stores of earlier versions."""

    def tokens(self, split: str) -> np.ndarray:
        """Return the token ids of a split, memory-mapped.

        Raises DamagedFile if they are not those that were stored. Each process checks a file once.
        """
        path = self.folder / f"{split}.bin"
        require_digest(path, self.splits[split].sha256)
        return np.memmap(path, dtype=self.dtype, mode="r")

    def sampled_tokens(self, split: str) -> CheckedTokens | np.ndarray:
        """Return the token ids of a split, for reading a part of them at random.

        What is read is checked then: DamagedFile is raised for what is not as it was stored.
        """
        stored = self.splits[split]
        if not stored.chunks:
            return self.tokens(split)
        path = self.folder / f"{split}.bin"
        return checked_tokens(path, self.dtype, stored.tokens, stored.chunks)

    def encoding(self) -> Encoding:
        """Return the tokenizer. Raises DamagedFile if it is not the one that was stored."""
        path = self.folder / TOKENIZER
        if self.tokenizer_sha256 is not None:
            require_digest(path, self.tokenizer_sha256)
        return tokenizers.load(path)

    def check(self) -> None:
        """Raise DamagedFile if a file of the store is not what was stored."""
        self.encoding()
        for split in self.splits:
            self.tokens(split)


def store_fingerprint(data: StdlibData | TextData | HubData, excluded: Sequence[Path] = ()) -> str:
    """Return a hash of everything that determines the tokens: corpus, tokenizer and splits. This is
    cheap, because nothing is tokenized. `excluded` are files and folders that are never read.
    """
    parts: list[Any] = [
        _VERSION,
        sources.fingerprint(data, excluded),
        data.tokenizer.model_dump(),
        data.holdout,
        data.holdout_bytes,
        data.window_bytes,
    ]
    # Earlier versions held out whole documents only; their other stores are still valid.
    if isinstance(data, HubData) or not _whole_documents(data, excluded):
        parts.append("pieces")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _whole_documents(data: StdlibData | TextData, excluded: Sequence[Path]) -> bool:
    rows = sources.local_rows(data, excluded)
    return whole_documents_fit((Piece.of(row["text"]) for row in rows), data)


def open_store(folder: Path) -> TokenStore:
    """Open a store, which is a folder in the folder `tokens` of a home, by reading its manifest.

    Raises FileNotFoundError if there is none, and DamagedFile if the manifest is damaged.
    """
    path = folder / MANIFEST
    manifest = read_sealed(path, folder.parent.parent)
    if manifest is None:
        raise FileNotFoundError(path)
    splits = {name: _read_split(split) for name, split in manifest["splits"].items()}
    return TokenStore(
        folder,
        manifest["fingerprint"],
        manifest["vocab"],
        manifest["end_of_text"],
        manifest["dtype"],
        splits,
        manifest.get("tokenizer_sha256"),
    )


def _read_split(content: Mapping[str, Any]) -> Split:
    windows = tuple((document, size) for document, size in content.get("windows", ()))
    return Split(**{**content, "windows": windows, "chunks": tuple(content.get("chunks", ()))})


def prepare(
    data: StdlibData | TextData | HubData, cache: Path, excluded: Sequence[Path] = ()
) -> TokenStore:
    """Return the store of `data` under `cache`, creating it if necessary. `excluded` are files and
    folders that are never read.

    Raises UserError if the corpus cannot be read, or if it changes meanwhile, and DamagedFile if
    the store is damaged.
    """
    fingerprint = store_fingerprint(data, excluded)
    folder = cache / fingerprint
    if not (folder / MANIFEST).exists():
        split = split_documents(sources.documents(data, excluded), data)
        if store_fingerprint(data, excluded) != fingerprint:
            raise UserError("the corpus changed while it was read: run the command again")
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{fingerprint}-", dir=cache))
        try:
            _write(draft, fingerprint, data, split)
            _publish(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return open_store(folder)


def store_damage(folder: Path) -> str:
    """Return what is damaged of a store, in words; empty if nothing is, or if there is no store."""
    try:
        open_store(folder).check()
    except FileNotFoundError:
        return f"{folder / MANIFEST} is missing" if folder.exists() else ""
    except DamagedFile as error:
        return error.fault
    return ""


def _write(
    draft: Path,
    fingerprint: str,
    data: StdlibData | TextData | HubData,
    split: dict[str, list[Row]],
) -> None:
    encoding = tokenizers.make(data.tokenizer, (row["text"] for row in split["train"]))
    vocab = tokenizers.vocab_size(data.tokenizer)
    dtype = "uint16" if vocab <= 1 << 16 else "uint32"
    splits = {}
    for name, rows in split.items():
        texts = [row["text"] for row in rows]
        windows = []
        if name != "train":
            windows = sample_windows(texts, data.window_bytes, data.holdout_bytes)
            texts = [window.text for window in windows]
        written = _write_texts(draft / f"{name}.bin", texts, encoding, dtype)
        sizes = tuple((window.document, len(window.text.encode())) for window in windows)
        size = sum(len(row["text"].encode()) for row in rows)
        splits[name] = replace(written, documents=len(rows), windows=sizes, corpus_bytes=size)
    tokenizers.save(encoding, draft / TOKENIZER)
    manifest = {
        "fingerprint": fingerprint,
        "data": data.model_dump(),
        "vocab": vocab,
        "end_of_text": encoding.eot_token,
        "dtype": dtype,
        "tokenizer_sha256": file_sha256(draft / TOKENIZER),
        "splits": {name: asdict(s) for name, s in splits.items()},
        "documents": {name: [row["name"] for row in rows] for name, rows in split.items()},
    }
    write_sealed(draft / MANIFEST, manifest, sync=False)  # synced with the whole folder


def _write_texts(path: Path, texts: Sequence[str], encoding: Encoding, dtype: str) -> Split:
    digest = hashlib.sha256()
    chunks = ChunkDigests()
    tokens = 0
    size = 0
    with path.open("wb") as file:
        for start in range(0, len(texts), 256):
            part = list(texts[start : start + 256])
            for text, ids in zip(part, tokenizers.encode(encoding, part), strict=True):
                block = np.array([encoding.eot_token, *ids], dtype=dtype).tobytes()
                file.write(block)
                digest.update(block)
                chunks.update(block)
                tokens += len(ids) + 1
                size += len(text.encode())
    return Split(tokens, size, len(texts), digest.hexdigest(), chunks=chunks.finish())


def _publish(draft: Path, folder: Path) -> None:
    try:
        publish_folder(draft, folder)
    except OSError:
        # Another process may have published the same tokens first.
        if not (folder / MANIFEST).exists():
            raise
