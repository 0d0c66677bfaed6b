"""What a study may say of its data: the source, the tokenizer, and how much is held out."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _defaulting(key: str, default: str) -> BeforeValidator:
    """A union's tag may be left out: it is `default` then."""
    return BeforeValidator(
        lambda value: {key: default, **value} if isinstance(value, dict) else value
    )


class ByteTokenizer(_Spec):
    """A token a byte, and one that ends a text: 257 in all."""

    kind: Literal["byte"] = "byte"


class BpeTokenizer(_Spec):
    """Byte-level BPE trained on the training split. `vocab` counts every token, the end-of-text
    token included.
    """

    kind: Literal["bpe"] = "bpe"
    vocab: Annotated[int, Field(ge=258)] = 2048


class SentencePieceTokenizer(_Spec):
    """SentencePiece trained on the training split, with byte fallback. `vocab` counts every token:
    256 bytes, the end of text and one for the unknown among them.
    """

    kind: Literal["sentencepiece"]
    vocab: Annotated[int, Field(ge=260)] = 2048
    model: Literal["bpe", "unigram"] = "bpe"


class TiktokenTokenizer(_Spec):
    """An encoding that tiktoken knows by name (`gpt2`, `cl100k_base`, …)."""

    kind: Literal["tiktoken"]
    name: str


AnyTokenizer = ByteTokenizer | BpeTokenizer | SentencePieceTokenizer | TiktokenTokenizer
Tokenizer = Annotated[AnyTokenizer, Discriminator("kind"), _defaulting("kind", "bpe")]


class _Data(_Spec):
    """`holdout`: the share of the corpus, in bytes, held out for validation, and as much again for
    the test; at most `holdout_bytes` each.
    """

    tokenizer: Tokenizer = BpeTokenizer()
    holdout: Annotated[float, Field(gt=0, le=0.3)] = 0.02
    holdout_bytes: Annotated[int, Field(ge=1)] = 1_000_000


class StdlibData(_Data):
    """The source files of the running Python's standard library; its tests and vendored folders are
    left out.
    """

    source: Literal["stdlib"] = "stdlib"


class TextData(_Data):
    """UTF-8 text files, by glob patterns relative to the current folder. A file is a document;
    fewer than 20 files are cut at line ends into pieces of about 16 kB, so that each split gets
    text.
    """

    source: Literal["text"]
    files: Annotated[list[str], Field(min_length=1)]


class HubData(_Data):
    """A dataset that the datasets library loads, by name or from a local folder. `limit`: documents
    at most.
    """

    source: Literal["hub"]
    name: str
    config: str | None = None
    revision: str | None = None
    split: str = "train"
    column: str = "text"
    streaming: bool = False
    limit: Annotated[int, Field(ge=3)] | None = None


Data = Annotated[
    StdlibData | TextData | HubData, Discriminator("source"), _defaulting("source", "stdlib")
]
