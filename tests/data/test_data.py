"""Sources, tokenizers, the token store, batches."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ablab.data import sources, tokenizers
from ablab.data.batches import Batches, Sequences, StepSampler, scoring_batches
from ablab.data.spec import (
    BpeTokenizer,
    ByteTokenizer,
    HubData,
    StdlibData,
    TextData,
    TiktokenTokenizer,
)
from ablab.data.store import prepare, store_fingerprint
from ablab.errors import UserError

TIKTOKEN_CACHE = Path(__file__).parents[3] / "shared" / "data" / "tiktoken"
TEXTS = [
    "def f(x):\n    return x  # ☃ \U0001f600\r\n",
    "the the the theme",
    " \t\n \x00 <|endoftext|>",
    "naïve café — “quoted”",
]
BPE = tokenizers.make(BpeTokenizer(vocab=300), TEXTS * 5)
BYTE = tokenizers.make(ByteTokenizer(), [])


@pytest.mark.parametrize("encoding", [BPE, BYTE], ids=["bpe", "byte"])
@settings(max_examples=150, deadline=None)
@given(st.text())
def test_every_text_comes_back_exactly(encoding, text):
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    assert encoding.decode_bytes(encoding.encode_ordinary(text)) == raw


def test_bytes_are_bytes():
    assert BYTE.encode_ordinary("é\n") == list("é\n".encode())
    assert (BYTE.n_vocab, BYTE.eot_token) == (257, 256)


def test_bpe_encodes_as_the_library_that_trained_it():
    """tiktoken carries the ranks; the tokenizers library, given the same merges, is the
    reference.
    """
    from tokenizers import pre_tokenizers, trainers

    reference = tokenizers.trainable({}, [])
    trainer = trainers.BpeTrainer(
        vocab_size=299, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    reference.train_from_iterator(TEXTS * 5, trainer)
    for text in [*TEXTS, "a theme of the cafés, return x"]:
        assert BPE.encode_ordinary(text) == reference.encode(text).ids


def test_a_saved_tokenizer_is_the_same(tmp_path):
    tokenizers.save(BPE, tmp_path / "t.json")
    again = tokenizers.load(tmp_path / "t.json")
    assert [again.encode_ordinary(t) for t in TEXTS] == [BPE.encode_ordinary(t) for t in TEXTS]
    assert again.eot_token == BPE.eot_token == 299


@pytest.mark.skipif(
    not TIKTOKEN_CACHE.is_dir(), reason="the cached files of tiktoken's gpt2 encoding are not here"
)
def test_a_named_encoding(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(TIKTOKEN_CACHE))
    spec = TiktokenTokenizer(kind="tiktoken", name="gpt2")
    assert tokenizers.vocab_size(spec) == 50257
    encoding = tokenizers.make(spec, [])
    assert encoding.encode_ordinary("hello world") == [31373, 995]
    tokenizers.save(encoding, tmp_path / "t.json")
    assert tokenizers.load(tmp_path / "t.json").eot_token == 50256


def test_an_encoding_that_is_not_known_or_not_at_hand(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="no tiktoken encoding named 'gpt22'"):
        tokenizers.named("gpt22")

    def fail(name):
        raise ConnectionError

    monkeypatch.setattr(tiktoken, "get_encoding", fail)
    with pytest.raises(UserError, match="without a network use kind bpe or byte"):
        tokenizers.named("p50k_base")


def test_stdlib_is_real_text_without_tests_and_vendored_folders():
    rows = list(sources.documents(StdlibData()))
    names = {row["name"] for row in rows}
    assert "ast.py" in names
    assert "json/decoder.py" in names
    assert not [
        n
        for n in names
        if {"test", "tests", "site-packages", "_vendor", "_bundled"} & set(Path(n).parts)
    ]
    assert sum(len(row["text"]) for row in rows) > 5_000_000
    assert type(rows[0]) is dict
    assert type(sources.documents(StdlibData())).__module__.startswith("datasets")


def test_local_sources_work_without_the_datasets_library(monkeypatch, corpus):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    rows = list(sources.documents(TextData(source="text", files=[f"{corpus}/*.txt"])))
    assert len(rows) == 30
    with pytest.raises(UserError, match="needs the datasets library"):
        sources.documents(HubData(source="hub", name="x"))


def test_text_patterns_and_encodings(tmp_path):
    with pytest.raises(UserError, match=r"'\*\*/none\*' matches no file"):
        sources.documents(TextData(source="text", files=["**/none*"]))
    (tmp_path / "bad.txt").write_bytes(b"abc\xff")
    with pytest.raises(UserError, match=r"bad.txt is not UTF-8 text \(byte 3\)"):
        sources.documents(TextData(source="text", files=[str(tmp_path / "*.txt")]))


def test_a_single_long_file_is_cut_at_line_ends(tmp_path):
    text = "".join(f"line {i} of a long text\r\n" for i in range(5000))
    (tmp_path / "book.txt").write_bytes(text.encode())
    rows = list(sources.documents(TextData(source="text", files=[str(tmp_path / "book.txt")])))
    assert len(rows) > 3
    assert "".join(row["text"] for row in rows) == text


def parquet(folder, rows):
    import datasets

    folder.mkdir()
    datasets.Dataset.from_list(rows).to_parquet(str(folder / "train.parquet"))


def json_lines(folder, rows):
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("write", [parquet, json_lines])
@pytest.mark.parametrize("streaming", [False, True])
def test_hub_reads_local_folders(tmp_path, write, streaming, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "set", [{"body": f"document {i}\n" * 3, "n": i} for i in range(12)])
    data = HubData(
        source="hub", name=str(tmp_path / "set"), column="body", streaming=streaming, limit=7
    )
    rows = list(sources.documents(data))
    assert [row["text"] for row in rows] == [f"document {i}\n" * 3 for i in range(7)]
    with pytest.raises(UserError, match=r"no column 'text' \(columns: body, n\)"):
        sources.documents(data.model_copy(update={"column": "text"}))
    with pytest.raises(UserError, match="cannot be loaded"):
        sources.documents(data.model_copy(update={"split": "nosuch"}))


def test_hub_rows_without_text_are_left_out_and_other_values_refused(tmp_path):
    json_lines(tmp_path / "set", [{"text": t} for t in ("a", None, "b", "")])
    data = HubData(source="hub", name=str(tmp_path / "set"))
    assert [row["text"] for row in sources.documents(data)] == ["a", "b"]
    json_lines(tmp_path / "numbers", [{"text": 3}])
    with pytest.raises(UserError, match="holds int, not text"):
        sources.documents(data.model_copy(update={"name": str(tmp_path / "numbers")}))


def test_hub_without_a_network_names_what_works(monkeypatch):
    import datasets

    def fail(*args, **kwargs):
        raise ConnectionError("Couldn't reach it")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        UserError, match=r"out of reach.*without a network these work: source stdlib"
    ):
        sources.documents(HubData(source="hub", name="some/thing"))


def test_a_corpus_of_few_bytes_is_split_whole(store, corpus):
    manifest = json.loads((store.folder / "manifest.json").read_text())
    names = [name for split in manifest["documents"].values() for name in split]
    assert sorted(names) == sorted(str(p) for p in corpus.glob("*.txt"))
    sizes = {p.as_posix(): p.stat().st_size for p in corpus.glob("*.txt")}
    for name, split in store.splits.items():
        assert split.bytes == sum(sizes[d] for d in manifest["documents"][name])
        assert split.documents >= 1


def test_stored_tokens_decode_to_the_documents(store, corpus):
    tokens = store.tokens("train").tolist()
    encoding = store.encoding()
    assert tokens[0] == store.end_of_text
    starts = [i for i, t in enumerate(tokens) if t == store.end_of_text] + [len(tokens)]
    texts = {encoding.decode_bytes(tokens[a + 1 : b]) for a, b in pairwise(starts)}
    assert texts <= {p.read_bytes() for p in corpus.glob("*.txt")}
    assert len(texts) == store.splits["train"].documents


def test_the_fingerprint_follows_the_bytes_and_the_tokenizer(tmp_path):
    (tmp_path / "a.txt").write_text("hello\n" * 100)
    data = TextData(source="text", files=[str(tmp_path / "*.txt")])
    before = store_fingerprint(data)
    assert store_fingerprint(data) == before
    assert (
        store_fingerprint(data.model_copy(update={"tokenizer": BpeTokenizer(vocab=500)})) != before
    )
    (tmp_path / "a.txt").write_text("hellO\n" * 100)
    assert store_fingerprint(data) != before


def test_too_small_a_corpus(tmp_path):
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(UserError, match="which are too few or repeat themselves"):
        prepare(TextData(source="text", files=[str(tmp_path / "a.txt")]), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_sequences_are_a_pure_function_of_seed_and_number():
    tokens = np.arange(1000, dtype=np.uint16)
    first, second = Sequences(tokens, 9, seed=1), Sequences(tokens, 9, seed=1)
    assert torch.equal(
        first.__getitems__([500, 3, 77]), torch.stack([second[500], second[3], second[77]])
    )
    assert not torch.equal(first[0], Sequences(tokens, 9, seed=2)[0])
    epoch = torch.stack([first[n] for n in range(first.windows)])
    assert sorted(epoch[:, 0].tolist()) == [9 * i for i in range(111)]
    again = torch.stack([first[n] for n in range(first.windows, 2 * first.windows)])
    assert not torch.equal(epoch, again)
    assert sorted(again[:, 0].tolist()) == sorted(epoch[:, 0].tolist())


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_equal_however_many_workers_load_them(workers):
    from torch.utils.data import DataLoader

    sequences = Sequences(np.arange(1000, dtype=np.uint16), 9, seed=1)
    loader = DataLoader(
        sequences,
        batch_sampler=StepSampler(Batches(((4, 9),))),
        num_workers=workers,
        collate_fn=lambda x: x,
    )
    batches = [batch for batch, _ in zip(loader, range(6), strict=False)]
    plain = [torch.stack([sequences[n] for n in range(4 * i, 4 * i + 4)]) for i in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(batches, plain, strict=True))


def test_a_sampler_goes_on_where_it_left_off():
    whole = [batch for batch, _ in zip(StepSampler(Batches(((3, 5),))), range(5), strict=False)]
    rest = [
        batch for batch, _ in zip(StepSampler(Batches(((3, 5),)), start=2), range(3), strict=False)
    ]
    assert rest == whole[2:]


@pytest.mark.parametrize("context", [3, 7, 50])
def test_scoring_covers_every_token_once(context):
    tokens = np.array([9, 1, 2, 3, 9, 4, 5, 9, 6, 7, 8, 1, 2], dtype=np.uint16)
    scored, pairs, places = [], [], []
    for inputs, targets, windows in scoring_batches(tokens, context, 2, end_of_text=9):
        kept = targets != -100
        scored += targets[kept].tolist()
        places += windows[kept].tolist()
        pairs += list(zip(inputs[kept].tolist(), targets[kept].tolist(), strict=True))
    assert scored == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]
    assert places == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert pairs[0] == (9, 1)
    assert pairs[3] == (9, 4)
