"""What is held out of corpora of any shape, and what is not divided."""

import hashlib
import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablab.data import sources
from ablab.data.spec import ByteTokenizer, StdlibData, TextData
from ablab.data.splits import split_documents
from ablab.data.store import prepare, store_fingerprint
from ablab.errors import UserError
from tests.data.texts import prose


def books():
    sizes = np.exp(np.random.default_rng(1).uniform(np.log(2e4), np.log(5e5), 22)).astype(int)
    return [prose(size, seed) for seed, size in enumerate(sizes)]


CORPORA = {
    "one file of 40 kB": [prose(40_000)],
    "three notes": [prose(9_000, 1), prose(2_200, 2), prose(1_400, 3)],
    "24 notes and a long file": [*(prose(2_000, i) for i in range(24)), prose(1_000_000, 99)],
    "22 books of unlike size": books(),
    "one line of 300 kB": [prose(300_000, line=0)],
    "24 kB": [prose(24_000)],
    "lines that end with a carriage return": [prose(300_000).replace("\n", "\r")],
    "no break anywhere": ["".join(map(chr, range(0x4E00, 0x9F00)))],
}


def bytes_of(rows):
    return sum(len(row["text"].encode()) for row in rows)


@pytest.mark.parametrize("holdout", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("texts", CORPORA.values(), ids=CORPORA)
def test_what_is_held_out_is_what_was_asked_for(tmp_path, texts, holdout):
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text, newline="")
    data = TextData(
        source="text",
        files=[str(tmp_path / "*.txt")],
        holdout=holdout,
        holdout_bytes=10**9,
    )
    split = split_documents(sources.documents(data), data)
    total = sum(len(text.encode()) for text in texts)
    for name in ("val", "test"):
        assert holdout <= bytes_of(split[name]) / total < 1.25 * holdout + 0.005
    assert bytes_of(split["train"]) / total > 1 - 2 * (1.25 * holdout + 0.005)
    assert sum(map(bytes_of, split.values())) == total


def test_pieces_of_the_training_split_stay_together():
    """Only what is held out is missing between two of its parts."""
    text = prose(300_000, line=0)
    split = split_documents([{"name": "a", "text": text}], StdlibData(holdout=0.02))
    assert 8 <= len(split["val"]) <= 16
    rows = sorted(
        (row for rows in split.values() for row in rows),
        key=lambda row: int(row["name"].removeprefix("a#")),
    )
    assert "".join(row["text"] for row in rows) == text
    assert len(split["train"]) <= len(split["val"]) + len(split["test"]) + 1


@pytest.mark.parametrize(
    "text", ["hello\n" * 20, prose(1000), " " * 1_000_000, "the same line\n" * 50_000]
)
def test_what_cannot_be_divided_is_refused_with_a_way_out(text):
    with pytest.raises(UserError) as error:
        split_documents([{"name": "a", "text": text}], StdlibData())
    assert str(error.value) == (
        f"data.holdout: 0.1 of the corpus each for val and test cannot be held out of {len(text)} "
        "bytes in 1 document(s), which are too few or repeat themselves: give more text, or "
        "another `holdout`"
    )


SHAPES = st.lists(
    st.tuples(
        st.integers(0, 60_000) | st.integers(0, 300),  # bytes
        st.sampled_from([0, 1, 40, 400]),  # bytes per line
        st.sampled_from(["abcdefgh", "é☃\U0001f600 \t", "\0\r\ufeff \u2028x"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.floats(0.001, 0.3), st.integers(1, 200_000), st.integers(64, 4096), st.data())
def test_any_corpus_is_divided_as_asked_for_or_refused(shapes, holdout, most, window, draw):
    rng = np.random.default_rng(draw.draw(st.integers(0, 1000)))
    documents = []
    for size, line, letters in shapes:
        text = "".join(rng.choice(list(letters), size // 2)) if size else "x"
        if line:
            text = "\n".join(text[i : i + line] for i in range(0, len(text), line))
        documents.append(text)
    rows = [{"name": str(i), "text": text} for i, text in enumerate(documents)]
    data = StdlibData(holdout=holdout, holdout_bytes=most, window_bytes=window)
    total = sum(len(text.encode()) for text in set(documents))
    try:
        split = split_documents(rows, data)
    except UserError:
        # Letters are few, so that small pieces of lines of one letter repeat themselves.
        assert holdout * total < 2000
        return
    tolerance = max(holdout * total / 4, total / 200)
    for name in ("val", "test"):
        texts = [row["text"] for row in split[name]]
        held = sum(len(text.encode()) for text in texts)
        # Without its last piece, it has less than its share.
        assert held - len(texts[-1].encode()) < holdout * total
        assert held <= holdout * total + tolerance
        in_windows = sum(min(len(text.encode()), window) for text in texts)
        assert held >= holdout * total - tolerance or in_windows >= most
    assert bytes_of(split["train"]) >= (1 - 2 * holdout) * total - 2 * tolerance
    held = {row["text"] for name in ("val", "test") for row in split[name]}
    assert held.isdisjoint(row["text"] for row in split["train"])
    assert all(any(row["text"] in text for text in documents) for row in chain(*split.values()))


def earlier_fingerprint(data):
    """The fingerprint of stores of which only whole documents were held out."""
    parts = [
        2,
        sources.fingerprint(data),
        data.tokenizer.model_dump(),
        data.holdout,
        data.holdout_bytes,
        data.window_bytes,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def test_only_stores_with_pieces_have_a_new_fingerprint(tmp_path):
    assert store_fingerprint(StdlibData()) == earlier_fingerprint(StdlibData())
    for i in range(30):
        (tmp_path / f"{i}.txt").write_text(prose(3000, i))
    data = TextData(source="text", files=[str(tmp_path / "*.txt")])
    assert store_fingerprint(data) == earlier_fingerprint(data)
    assert store_fingerprint(data) == "a0cab09883802c5c980fcc52d56905d4"
    (tmp_path / "30.txt").write_text(prose(1_000_000))
    assert store_fingerprint(data) != earlier_fingerprint(data)


def test_the_names_of_pieces_are_in_the_manifest(tmp_path):
    (tmp_path / "a.txt").write_text(prose(24_000))
    data = TextData(source="text", files=[str(tmp_path / "a.txt")], tokenizer=ByteTokenizer())
    store = prepare(data, tmp_path / "tokens")
    names = json.loads((store.folder / "manifest.json").read_text())["documents"]
    assert all(name.startswith(str(tmp_path / "a.txt#")) for name in chain(*names.values()))
