"""The token store: a corpus that is tokenized once, as memory-mapped arrays with a manifest, for
all runs.

Documents are ordered by the hash of their text. The first ones form the validation split and the
next ones the test split, each up to its share of the bytes; the rest is the training split. Every
document is preceded by an end-of-text token.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ablab.data import sources, tokenizers
from ablab.data.sources import Row
from ablab.data.spec import HubData, StdlibData, TextData
from ablab.data.tokenizers import Encoding
from ablab.errors import UserError

_VERSION = 1
SPLITS = ("val", "test", "train")


@dataclass(frozen=True)
class Split:
    """The sizes of a split. `bytes` is the size of its documents as UTF-8 text."""

    tokens: int
    bytes: int
    documents: int
    sha256: str


@dataclass(frozen=True)
class TokenStore:
    """A token store on disk."""

    folder: Path
    fingerprint: str
    vocab: int
    end_of_text: int
    dtype: str
    splits: dict[str, Split]

    def tokens(self, split: str) -> np.ndarray:
        """Return the token ids of a split, memory-mapped."""
        return np.memmap(self.folder / f"{split}.bin", dtype=self.dtype, mode="r")

    def encoding(self) -> Encoding:
        """Return the tokenizer."""
        return tokenizers.load(self.folder / "tokenizer.json")


def store_fingerprint(data: StdlibData | TextData | HubData) -> str:
    """Return a hash of everything that determines the tokens: corpus, tokenizer and splits. This is
    cheap, because nothing is tokenized.
    """
    parts = [
        _VERSION,
        sources.fingerprint(data),
        data.tokenizer.model_dump(),
        data.holdout,
        data.holdout_bytes,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def open_store(folder: Path) -> TokenStore:
    """Open a store by reading its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    splits = {name: Split(**split) for name, split in manifest["splits"].items()}
    return TokenStore(
        folder,
        manifest["fingerprint"],
        manifest["vocab"],
        manifest["end_of_text"],
        manifest["dtype"],
        splits,
    )


def prepare(data: StdlibData | TextData | HubData, cache: Path) -> TokenStore:
    """Return the store of `data` under `cache`, creating it if necessary. Raises UserError if the
    corpus cannot be read.
    """
    fingerprint = store_fingerprint(data)
    folder = cache / fingerprint
    if not (folder / "manifest.json").exists():
        split = split_documents(sources.documents(data), data.holdout, data.holdout_bytes)
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{fingerprint}-", dir=cache))
        try:
            _write(draft, fingerprint, data, split)
            _publish(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return open_store(folder)


def split_documents(
    rows: Iterable[Row], holdout: float, holdout_bytes: int
) -> dict[str, list[Row]]:
    """Return the documents of each split, ordered by hash. Duplicate texts are removed."""
    ordered = [row for _, row in sorted({_hash(row["text"]): row for row in rows}.items())]
    total = sum(len(row["text"].encode()) for row in ordered)
    if len(ordered) < 3:
        raise UserError(
            f"the corpus has {len(ordered)} documents ({total} bytes): too few for train, "
            "val and test"
        )
    target = min(holdout * total, holdout_bytes)
    split: dict[str, list[Row]] = {name: [] for name in SPLITS}
    position = 0
    for name in ("val", "test"):
        size = 0
        # At least one document must remain for each of the following splits.
        while size < target and position < len(ordered) - (2 if name == "val" else 1):
            split[name].append(ordered[position])
            size += len(ordered[position]["text"].encode())
            position += 1
    split["train"] = ordered[position:]
    return split


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(
    draft: Path,
    fingerprint: str,
    data: StdlibData | TextData | HubData,
    split: dict[str, list[Row]],
) -> None:
    encoding = tokenizers.make(data.tokenizer, (row["text"] for row in split["train"]))
    vocab = tokenizers.vocab_size(data.tokenizer)
    dtype = "uint16" if vocab <= 1 << 16 else "uint32"
    splits = {
        name: _write_split(draft / f"{name}.bin", rows, encoding, dtype)
        for name, rows in split.items()
    }
    tokenizers.save(encoding, draft / "tokenizer.json")
    manifest = {
        "fingerprint": fingerprint,
        "data": data.model_dump(),
        "vocab": vocab,
        "end_of_text": encoding.eot_token,
        "dtype": dtype,
        "splits": {name: asdict(s) for name, s in splits.items()},
        "documents": {name: [row["name"] for row in rows] for name, rows in split.items()},
    }
    (draft / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _write_split(path: Path, rows: Sequence[Row], encoding: Encoding, dtype: str) -> Split:
    digest = hashlib.sha256()
    tokens = 0
    size = 0
    with path.open("wb") as file:
        for start in range(0, len(rows), 256):
            texts = [row["text"] for row in rows[start : start + 256]]
            for text, ids in zip(texts, encoding.encode_ordinary_batch(texts), strict=True):
                block = np.array([encoding.eot_token, *ids], dtype=dtype).tobytes()
                file.write(block)
                digest.update(block)
                tokens += len(ids) + 1
                size += len(text.encode())
    return Split(tokens, size, len(rows), digest.hexdigest())


def _publish(draft: Path, folder: Path) -> None:
    try:
        os.rename(draft, folder)
    except OSError:
        # Another process may have published the same tokens first.
        if not (folder / "manifest.json").exists():
            raise
