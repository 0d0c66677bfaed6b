"""Windows of held-out text."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablab.data.spec import BpeTokenizer, ByteTokenizer, StdlibData, TextData
from ablab.data.splits import split_documents
from ablab.data.store import prepare
from ablab.data.windows import cut, sample_windows


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.just("\n"), max_size=1000))
def test_windows_of_a_text_make_the_text(text):
    windows = cut(text, 64)
    assert "".join(windows) == text
    sizes = [len(window.encode()) for window in windows]
    assert max(sizes) <= 96
    assert all(size >= 32 for size in sizes[:-1])


def test_windows_start_at_lines():
    text = "".join(f"line {i}\n" for i in range(200))
    assert all(window.startswith("line ") for window in cut(text, 100))
    assert cut("é" * 100, 99)[0] == "é" * 49  # a character of two bytes is not cut


def texts(count):
    """Texts of 100 to 100,000 bytes in which every line is unique."""
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.uniform(np.log(100), np.log(100_000), count)).astype(int)
    return [
        "".join(f"{i} {line:06}\n" for line in range(size // 10)) for i, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("total", [1, 60_000, 10**9])
def test_every_document_is_reached_and_no_byte_is_scored_twice(total):
    documents = texts(40)
    windows = sample_windows(documents, 512, total)
    assert {window.document for window in windows} == set(range(40))
    for i, document in enumerate(documents):
        mine = [window.text for window in windows if window.document == i]
        # Lines are unique, so a text is found at its own place alone.
        places = [(document.index(text), document.index(text) + len(text)) for text in mine]
        assert all(end <= start for (_, end), (start, _) in pairwise(places))
    size = sum(len(window.text) for window in windows)
    everything = sum(map(len, documents))
    if total > everything:
        assert size == everything
    elif total > 1:
        assert total <= size < total + 768
    else:
        assert len(windows) == 40


def test_no_document_dominates():
    documents = ["".join(f"{i} {line:06}\n" for line in range(200)) for i in range(10)]
    documents.append("".join(f"long {line:06}\n" for line in range(100_000)))
    windows = sample_windows(documents, 256, 11 * 1024)
    counts = np.bincount([window.document for window in windows])
    assert counts.max() - counts.min() <= 1


def test_no_more_documents_are_held_out_than_are_needed():
    rows = [{"name": str(i), "text": f"{i:04}" * 1000} for i in range(100)]
    split = split_documents(rows, StdlibData(holdout=0.2, holdout_bytes=10_000, window_bytes=1000))
    assert [len(split[name]) for name in ("val", "test", "train")] == [10, 10, 80]
    split = split_documents(rows, StdlibData(holdout=0.05, holdout_bytes=10_000, window_bytes=1000))
    assert [len(split[name]) for name in ("val", "test", "train")] == [5, 5, 90]


def test_tokenizers_score_the_same_bytes(tmp_path):
    for i, text in enumerate(texts(30)):
        (tmp_path / f"{i}.txt").write_text(text + "é☃\n")
    stores = [
        prepare(
            TextData(
                source="text",
                files=[str(tmp_path / "*.txt")],
                tokenizer=tokenizer,
                holdout=0.2,
                holdout_bytes=20_000,
                window_bytes=300,
            ),
            tmp_path / "tokens",
        )
        for tokenizer in (ByteTokenizer(), BpeTokenizer(vocab=400))
    ]
    for split in ("val", "test"):
        texts_of = [windows_of(store, split) for store in stores]
        assert texts_of[0] == texts_of[1]
        assert stores[0].splits[split].windows == stores[1].splits[split].windows
        found = stores[0].splits[split]
        assert [size for _, size in found.windows] == list(map(len, texts_of[0]))
        assert found.bytes == sum(map(len, texts_of[0]))
        manifest = json.loads((stores[0].folder / "manifest.json").read_text())
        names = [name.partition("#")[0] for name in manifest["documents"][split]]
        documents = [(tmp_path / name).read_bytes() for name in names]
        for (document, _), text in zip(found.windows, texts_of[0], strict=True):
            assert text in documents[document]
        assert {document for document, _ in found.windows} == set(range(found.documents))
    assert stores[0].splits["train"].windows == ()


def windows_of(store, split):
    tokens = store.tokens(split).tolist()
    starts = [i for i, token in enumerate(tokens) if token == store.end_of_text] + [len(tokens)]
    encoding = store.encoding()
    return [encoding.decode_bytes(tokens[a + 1 : b]) for a, b in pairwise(starts)]
