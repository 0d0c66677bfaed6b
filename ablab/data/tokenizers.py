"""Tokenizers: a `tiktoken.Encoding`, or a SentencePiece model with the same methods. Decoding
restores the encoded text exactly.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import tiktoken
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Trainable

from ablab.data import sentencepieces
from ablab.data.sentencepieces import SentencePieceEncoding
from ablab.data.spec import AnyTokenizer, ByteTokenizer, SentencePieceTokenizer, TiktokenTokenizer
from ablab.errors import UserError, unknown

END_OF_TEXT = "<|endoftext|>"
# GPT-2's split into words, numbers, punctuation and spaces (Radford et al. 2019, section 2.2).
_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
# tiktoken's regular expressions overflow their stack on a million characters of whitespace.
_LONGEST_SPACE = 100_000
_LONG_SPACE = re.compile(rf"(?<!\s)\s{{{_LONGEST_SPACE + 1},}}")
# The time that the tokenizers library trains for is quadratic in the length of a word.
_LONGEST_WORD = 10_000
Encoding = tiktoken.Encoding | SentencePieceEncoding


def vocab_size(spec: AnyTokenizer) -> int:
    """Return the size of the vocabulary without training the tokenizer."""
    if isinstance(spec, TiktokenTokenizer):
        return named(spec.name).n_vocab
    return 257 if isinstance(spec, ByteTokenizer) else spec.vocab


def make(spec: AnyTokenizer, training_texts: Iterable[str]) -> Encoding:
    """Return the tokenizer; BPE and SentencePiece are trained on `training_texts`. Raises UserError
    for a vocabulary size that cannot be reached.
    """
    if isinstance(spec, TiktokenTokenizer):
        return named(spec.name)
    if isinstance(spec, SentencePieceTokenizer):
        return sentencepieces.train(training_texts, spec.vocab, spec.model)
    if isinstance(spec, ByteTokenizer):
        return _encoding("byte", "(?s:.)", {bytes([b]): b for b in range(256)}, 256)
    ranks = train_bpe(training_texts, spec.vocab - 1)
    if len(ranks) < spec.vocab - 1:
        raise UserError(
            f"data.tokenizer: bpe cannot train a vocabulary of {spec.vocab}: this corpus gives "
            f"{len(ranks) + 1} at most"
        )
    return _encoding("bpe", _PATTERN, ranks, spec.vocab - 1)


def encode(encoding: Encoding, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text. Runs of more than 100,000 characters of whitespace are
    tokenized in pieces.
    """
    parts = [list(_parts(text)) for text in texts]
    ids = iter(encoding.encode_ordinary_batch([*chain.from_iterable(parts)]))
    return [[*chain.from_iterable(islice(ids, len(pieces)))] for pieces in parts]


def _parts(text: str) -> Iterator[str]:
    runs = _LONG_SPACE.finditer(text) if len(text) > _LONGEST_SPACE else ()
    size = _LONGEST_SPACE
    cuts = [i for run in runs for i in range(run.start() + size, run.end(), size)]
    return (text[start:stop] for start, stop in pairwise([0, *cuts, len(text)]))


def undefined(encoding: Encoding) -> list[int]:
    """Return the token ids that stand for no text and are not the end of a text."""
    if isinstance(encoding, SentencePieceEncoding):
        return [encoding.unknown]
    tokens = [*encoding.token_byte_values(), *encoding.special_tokens_set]
    return sorted({*range(encoding.n_vocab)} - {encoding.encode_single_token(t) for t in tokens})


def named(name: str) -> tiktoken.Encoding:
    """Return the tiktoken encoding called `name`. Raises UserError if the name is unknown or if its
    files cannot be fetched.
    """
    names = tiktoken.list_encoding_names()
    if name not in names:
        raise unknown("tiktoken encoding", name, names)
    try:
        return tiktoken.get_encoding(name)
    except Exception as error:  # requests' errors, and tiktoken's own ValueError for a damaged file
        raise UserError(
            f"data.tokenizer: tiktoken cannot fetch {name!r} and it is not in its cache "
            "(TIKTOKEN_CACHE_DIR); "
            "without a network use kind bpe or byte"
        ) from error


def train_bpe(texts: Iterable[str], size: int) -> dict[bytes, int]:
    """Train byte-level BPE and return at most `size` mergeable ranks: the 256 bytes, then the
    merges in order.
    """
    tokenizer = trainable({}, [], pre_tokenizers.FixedLength(_LONGEST_WORD))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=[],
    )  # pyright: ignore[reportCallIssue]
    tokenizer.train_from_iterator(texts, trainer)
    byte_of = byte_of_char()
    return {bytes(byte_of[c] for c in token): rank for token, rank in tokenizer.get_vocab().items()}


def trainable(
    vocab: dict[str, int],
    merges: list[tuple[str, str]],
    *steps: pre_tokenizers.PreTokenizer,
) -> Trainable:
    """Return a byte-level BPE of the tokenizers library with the split pattern of GPT-2, followed
    by other steps of splitting.
    """
    tokenizer = Trainable(models.BPE(vocab=vocab, merges=merges))
    split = pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    sequence: Any = pre_tokenizers.Sequence([split, *steps, byte_level])
    tokenizer.pre_tokenizer = sequence
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def save(encoding: Encoding, path: Path) -> None:
    """Write the encoding as JSON: only the name for encodings of tiktoken, otherwise everything."""
    if isinstance(encoding, SentencePieceEncoding):
        content: dict[str, Any] = encoding.content()
    elif encoding.name in tiktoken.list_encoding_names():
        content = {"name": encoding.name}
    else:
        ranks = [base64.b64encode(token).decode() for token in encoding.token_byte_values()]
        ids = [encoding.encode_single_token(base64.b64decode(token)) for token in ranks]
        content = {
            "name": encoding.name,
            "pattern": encoding._pat_str,
            "end": encoding.eot_token,
            "ranks": dict(zip(ranks, ids, strict=True)),
        }
    path.write_text(json.dumps(content))


def load(path: Path) -> Encoding:
    """Load an encoding written by `save`."""
    content = json.loads(path.read_text())
    if content["name"] == SentencePieceEncoding.name:
        return SentencePieceEncoding.from_content(content)
    if "ranks" not in content:
        return named(content["name"])
    ranks = {base64.b64decode(token): rank for token, rank in content["ranks"].items()}
    return _encoding(content["name"], content["pattern"], ranks, content["end"])


def _encoding(name: str, pattern: str, ranks: dict[bytes, int], end: int) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        f"ablab-{name}" if not name.startswith("ablab-") else name,
        pat_str=pattern,
        mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: end},
    )


def byte_of_char() -> dict[str, int]:
    """Return the byte-level alphabet: printable bytes are represented by themselves, the others by
    characters from U+0100 on.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    table = {chr(b): b for b in printable}
    table.update({chr(256 + i): b for i, b in enumerate(_others(printable))})
    return table


def _others(printable: list[int]) -> Iterator[int]:
    return (b for b in range(256) if b not in printable)
