"""Tokenizers on texts of any shape, and vocabularies that a corpus does not yield."""

import re

import pytest
import tiktoken
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ablab.arch.decoder.generate import generate
from ablab.data import tokenizers
from ablab.data.spec import BpeTokenizer, ByteTokenizer, SentencePieceTokenizer, TextData
from ablab.data.store import prepare
from ablab.errors import UserError
from tests.data.texts import prose

TEXTS = [prose(20_000), "def f(x):\n    return x  # café\r\n" * 20]
SPECS = {
    "byte": ByteTokenizer(),
    "bpe": BpeTokenizer(vocab=300),
    "sentencepiece": SentencePieceTokenizer(kind="sentencepiece", vocab=300),
    "unigram": SentencePieceTokenizer(kind="sentencepiece", vocab=300, model="unigram"),
}


@pytest.fixture(scope="module", params=SPECS.values(), ids=SPECS)
def encoding(request):
    return tokenizers.make(request.param, TEXTS)


@pytest.mark.parametrize("unit", [" ", "\n", "\t", "\n\u2028", "a"])
def test_a_million_times_the_same_comes_back(encoding, unit):
    texts = ["a" + unit * 1_000_000 + "b", "", unit]
    ids = tokenizers.encode(encoding, texts)
    assert [encoding.decode(tokens) for tokens in ids] == texts


def test_text_without_long_runs_is_tokenized_in_one_piece(encoding):
    texts = ["x" * 200_000, ("y" + " " * 90_000) * 3, "", *TEXTS]
    assert tokenizers.encode(encoding, texts) == encoding.encode_ordinary_batch(texts)


LINES = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.sampled_from([1, 7, 1000, 20_000]),
        st.sampled_from(["\n", "\r\n", "\r", "", "\ufeff", "\0", "\x85"]),
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(LINES, max_size=3))
def test_lines_of_any_length_and_end_come_back(encoding, documents):
    texts = ["".join(text * times + end for text, times, end in lines) for lines in documents]
    ids = tokenizers.encode(encoding, texts)
    assert [encoding.decode(tokens) for tokens in ids] == texts
    assert not {encoding.eot_token, *tokenizers.undefined(encoding)} & {i for t in ids for i in t}


def test_bpe_is_trained_on_long_words_in_reasonable_time():
    """The library's own time is quadratic: minutes for a million letters."""
    ranks = tokenizers.train_bpe(["ab" * 500_000], 260)
    assert b"ab" in ranks
    assert len(ranks) == 260


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
def test_a_vocabulary_that_the_text_does_not_yield_is_refused_with_the_one_it_does(kind):
    texts = ["some words of a small text, and no more than some words\n"]

    def spec(vocab):
        if kind == "bpe":
            return BpeTokenizer(vocab=vocab)
        return SentencePieceTokenizer(kind="sentencepiece", vocab=vocab)

    with pytest.raises(UserError, match=f"{kind} cannot train a vocabulary of 4096") as error:
        tokenizers.make(spec(4096), texts)
    (most,) = map(int, re.findall(r"this corpus gives (\d+) at most", str(error.value)))
    assert tokenizers.make(spec(most), texts).n_vocab == most
    with pytest.raises(UserError, match=f"gives {most} at most"):
        tokenizers.make(spec(most + 1), texts)


def test_preparation_refuses_such_a_vocabulary_and_leaves_nothing(tmp_path):
    (tmp_path / "a.txt").write_text(prose(20_000))
    data = TextData(
        source="text", files=[str(tmp_path / "a.txt")], tokenizer=BpeTokenizer(vocab=60_000)
    )
    with pytest.raises(UserError, match="this corpus gives"):
        prepare(data, tmp_path / "tokens")
    assert not any((tmp_path / "tokens").iterdir())


class Uniform(torch.nn.Module):
    """A model that finds every token of a vocabulary equally likely, in a context of 40."""

    def __init__(self, vocab):
        super().__init__()
        self.vocab = vocab
        self.arch = type("Arch", (), {"dims": type("Dims", (), {"context": 40})})

    def forward(self, tokens, memory):
        memory.length += tokens.shape[1]
        return torch.zeros(1, tokens.shape[1], self.vocab)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ids_that_stand_for_nothing_are_never_drawn(temperature):
    """Of 100 ids, 97 stand for nothing, as in stores of vocabularies that were not reached."""
    encoding = tiktoken.Encoding(
        "gaps", pat_str=".", mergeable_ranks={b"a": 3, b"b": 50}, special_tokens={"<end>": 99}
    )
    never = tokenizers.undefined(encoding)
    assert never == [i for i in range(100) if i not in (3, 50, 99)]
    tokens = [*generate(Uniform(100), [3], temperature, 0, never)]
    assert {*tokens} <= {3, 50, 99}
    assert len({*tokens}) == (3 if temperature else 1)
    assert encoding.decode(tokens)


def test_a_sentencepiece_model_never_draws_the_unknown_token():
    encoding = tokenizers.make(SPECS["sentencepiece"], TEXTS)
    assert tokenizers.undefined(encoding) == [0]
    assert tokenizers.undefined(tokenizers.make(SPECS["byte"], [])) == []
