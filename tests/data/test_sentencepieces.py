"""SentencePiece as the lab sets it: what is encoded comes back, whatever it is."""

import fractions
import io
import shlex
import string
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from ablab.data import sentencepieces, tokenizers
from ablab.data.spec import SentencePieceTokenizer, TextData
from ablab.data.store import open_store, prepare
from ablab.errors import UserError

TEXTS = [
    Path(module.__file__).read_text("utf-8") + "  # ½ of it\n"
    for module in (textwrap, shlex, fractions, string)
]
AWKWARD = [
    "",
    " ",
    "  two  spaces  ",
    "\n\n\t x\r\n",
    "\u2581",
    "a\u2581 b",
    "\ue000",
    "\ue000u",
    "\ue000\u2581e",
    "\0",
    "a\0b",
    "<0x41>",
    "</s>",
    "<unk>",
    "é e\u0301 \u0301",
    "😀🏳️\u200d🌈",
    "\x1b\x7f\x85\u2028",
    "\ufeff",
    "\ufffd",
    "ﬁ Ⅳ ①",
]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def encoding(request):
    return sentencepieces.train(TEXTS, 500, request.param)


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_come_back(encoding, text):
    tokens = encoding.encode_ordinary(text)
    assert encoding.decode(tokens) == text
    assert encoding.eot_token not in tokens


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(encoding, text):
    assert encoding.decode(encoding.encode_ordinary(text)) == text


def test_the_librarys_defaults_would_lose_text():
    model = io.BytesIO()
    lines = [line for text in TEXTS for line in text.splitlines()]
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=500, minloglevel=3
    )
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    lost = [text for text in (*AWKWARD, *TEXTS) if processor.decode(processor.encode(text)) != text]
    assert set(TEXTS) <= set(lost)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_it_has_the_size_asked_for_and_is_trained_the_same_each_time(kind):
    first, again = (sentencepieces.train(TEXTS, 500, kind) for _ in range(2))
    assert first.n_vocab == 500
    assert first.content() == again.content()
    assert sum(len(first.encode_ordinary(t)) for t in TEXTS) < sum(map(len, TEXTS)) / 1.5


@pytest.mark.parametrize(
    ("size", "message"), [(300, "characters alone are"), (50_000, "gives .* at most")]
)
def test_a_size_that_cannot_be_is_refused(size, message):
    with pytest.raises(UserError, match=f"vocabulary of {size}: .*{message}"):
        sentencepieces.train(TEXTS, size, "bpe")


def test_a_store_keeps_it(tmp_path):
    for i, text in enumerate(AWKWARD):
        (tmp_path / f"{i}.txt").write_text(
            f"{i}{text}" + TEXTS[i % len(TEXTS)], "utf-8", newline=""
        )
    tokenizer = SentencePieceTokenizer(kind="sentencepiece", vocab=500)
    data = TextData(
        source="text", files=[str(tmp_path / "*.txt")], tokenizer=tokenizer, holdout=0.2
    )
    store = open_store(prepare(data, tmp_path / "tokens").folder)
    assert store.vocab == tokenizers.vocab_size(tokenizer) == 500
    ids = store.tokens("val").tolist()
    assert ids[0] == store.end_of_text
    documents = "".join(store.encoding().decode([i for i in ids if i != store.end_of_text]))
    assert len(documents.encode()) == store.splits["val"].bytes
