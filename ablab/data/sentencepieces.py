"""SentencePiece, the kind of tokenizer of PaLM and LLaMA, configured so that decoding restores the
encoded text exactly.

Its defaults lose text: they normalise, merge spaces, and represent a space as U+2581, so that a
U+2581 in a text is decoded as a space. Here nothing is normalised, and U+2581 (and NUL, which the
library does not support) is escaped before encoding.
"""

import base64
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ablab.errors import UserError

_ESCAPE = "\ue000"  # from the private use area
_ESCAPED = {_ESCAPE: _ESCAPE + "e", "\u2581": _ESCAPE + "u", "\0": _ESCAPE + "n"}
_UNESCAPED = {v: k for k, v in _ESCAPED.items()}
_TO_ESCAPE = re.compile("[" + "".join(_ESCAPED) + "]")
_TO_UNESCAPE = re.compile(f"{_ESCAPE}[eun]")
_LONGEST = 4000  # bytes; the library skips longer sentences in training


class SentencePieceEncoding:
    """A trained SentencePiece model with the methods of a `tiktoken.Encoding` that ablab uses."""

    name = "sentencepiece"

    def __init__(self, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self._model = model
        processor: Any = SentencePieceProcessor
        self._processor: Any = processor(model_proto=model)

    @property
    def n_vocab(self) -> int:
        """Number of token ids."""
        return self._processor.get_piece_size()

    @property
    def eot_token(self) -> int:
        """The end-of-text token, to which no text is encoded."""
        return self._processor.eos_id()

    @property
    def unknown(self) -> int:
        """The token for what cannot be encoded. Every text can, since characters fall back to
        bytes.
        """
        return self._processor.unk_id()

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        return self._processor.encode(_escape(text))

    def encode_ordinary_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text."""
        return self._processor.encode([_escape(text) for text in texts])

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids. Bytes that are not valid UTF-8 become U+FFFD."""
        text = self._processor.decode(list(tokens))
        return _TO_UNESCAPE.sub(lambda match: _UNESCAPED[match[0]], text)

    def content(self) -> dict[str, Any]:
        """Return the model as plain JSON types, for `from_content`."""
        return {"name": self.name, "model": base64.b64encode(self._model).decode()}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "SentencePieceEncoding":
        """Restore the result of `content`."""
        return cls(base64.b64decode(content["model"]))


def train(texts: Iterable[str], size: int, kind: str) -> SentencePieceEncoding:
    """Train a model (`kind` bpe or unigram) of exactly `size` tokens (Kudo & Richardson 2018,
    arXiv:1808.06226).

    As in LLaMA, digits are split and unknown characters fall back to bytes. Raises UserError for a
    size that is too large for the texts or too small for their characters.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(  # pyright: ignore[reportAttributeAccessIssue]
            sentence_iterator=_sentences(texts),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            byte_fallback=True,
            character_coverage=0.9995,
            unk_id=0,
            eos_id=1,
            bos_id=-1,
            pad_id=-1,
            num_threads=1,
            shuffle_input_sentence=False,
            minloglevel=3,
        )
    except RuntimeError as error:
        raise UserError(
            f"data.tokenizer: sentencepiece cannot train a vocabulary of {size}: "
            f"{_reason(str(error))}"
        ) from None
    return SentencePieceEncoding(model.getvalue())


def _reason(message: str) -> str:
    match = re.search(r"value <= (\d+)", message)
    if match:
        return f"this corpus gives {match[1]} at most"
    match = re.search(r"required_chars\D*\d+ vs (\d+)", message)
    if match:
        return f"bytes and this corpus's characters alone are {match[1]}"
    return message.rsplit("]", maxsplit=1)[-1].strip() or message


def _escape(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _ESCAPED[match[0]], text)


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """Yield lines with their ends, splitting long lines so that training uses all of the text."""
    for text in texts:
        for line in _escape(text).splitlines(keepends=True):
            for start in range(0, len(line), _LONGEST // 4):
                yield line[start : start + _LONGEST // 4]
