"""The data section of a study file: the source, the tokenizer and the held-out share."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field

Text = Annotated[str, Field(max_length=2_000)]


class _Spec(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def _defaulting(key: str, default: str) -> BeforeValidator:
    """Make the tag of a union optional, with the value `default` if it is omitted."""
    return BeforeValidator(
        lambda value: {key: default, **value} if isinstance(value, dict) else value
    )


class ByteTokenizer(_Spec):
    """One token per byte plus an end-of-text token: 257 tokens."""

    kind: Literal["byte"] = "byte"
    """The tokenizer's kind."""


class BpeTokenizer(_Spec):
    """Byte-level BPE, trained on the training split."""

    kind: Literal["bpe"] = "bpe"
    """The tokenizer's kind."""
    vocab: Annotated[int, Field(ge=258, le=1_000_000)] = 2048
    """Vocabulary size in tokens, including the 256 bytes and the end-of-text token."""


class SentencePieceTokenizer(_Spec):
    """SentencePiece with byte fallback, trained on the training split."""

    kind: Literal["sentencepiece"]
    """The tokenizer's kind."""
    vocab: Annotated[int, Field(ge=260, le=1_000_000)] = 2048
    """Vocabulary size in tokens, including the 256 bytes, the end-of-text token and the unknown
    token.
    """
    model: Literal["bpe", "unigram"] = "bpe"
    """The segmentation algorithm that SentencePiece trains."""


class TiktokenTokenizer(_Spec):
    """A published encoding from the tiktoken library."""

    kind: Literal["tiktoken"]
    """The tokenizer's kind."""
    name: Text
    """The encoding's name in tiktoken, such as `gpt2` or `cl100k_base`."""


AnyTokenizer = ByteTokenizer | BpeTokenizer | SentencePieceTokenizer | TiktokenTokenizer
Tokenizer = Annotated[AnyTokenizer, Discriminator("kind"), _defaulting("kind", "bpe")]


class _Data(_Spec):
    """The keys that every data source has."""

    tokenizer: Tokenizer = BpeTokenizer()
    """The tokenizer of every arm, unless an arm's plugins choose another."""
    holdout: Annotated[float, Field(gt=0, le=0.3)] = 0.1
    """Share of the corpus, in bytes, that is held out for validation. The test split takes the same
    share again. Whole documents are held out, or pieces of them where documents are too large for
    the share; fewer of them if one window of each is enough for `holdout_bytes`.
    """
    holdout_bytes: Annotated[int, Field(ge=1, le=2**40)] = 65_536
    """About how much held-out text is scored, in bytes of validation and of the test each: windows
    of all held-out documents, or all of their text if there is no more.
    """
    window_bytes: Annotated[int, Field(ge=64, le=2**30)] = 1024
    """About how many bytes a window of held-out text has. A model sees no text before the window:
    for a long context, give several times the bytes of the context.
    """


class StdlibData(_Data):
    """The source files of the running Python's standard library, without its tests and vendored
    packages.
    """

    source: Literal["stdlib"] = "stdlib"
    """Where the text comes from."""


class TextData(_Data):
    """UTF-8 text files. Each file is one document; fewer than 20 files are cut at line ends into
    documents of about 16 kB. Files that ablab writes are no part of the corpus.
    """

    source: Literal["text"]
    """Where the text comes from."""
    files: Annotated[list[Text], Field(min_length=1, max_length=1_000)]
    """Glob patterns of the files, relative to the current folder."""


class HubData(_Data):
    """A dataset that the datasets library loads, by name or from a local folder. Files that ablab
    writes, and hidden folders, are no part of it.
    """

    source: Literal["hub"]
    """Where the text comes from."""
    name: Text
    """The dataset's name on the Hugging Face Hub, or the path of a local folder."""
    config: Text | None = None
    """The dataset's configuration, where it has several."""
    revision: Text | None = None
    """A commit, tag or branch of the dataset; the default branch if omitted."""
    split: Text = "train"
    """The split of the dataset from which the corpus is taken."""
    column: Text = "text"
    """The column that holds the text."""
    streaming: bool = False
    """Whether to stream the dataset instead of downloading all of it first."""
    limit: Annotated[int, Field(ge=3, le=2**40)] | None = None
    """Maximum number of documents to read; all of them if omitted."""


Data = Annotated[
    StdlibData | TextData | HubData, Discriminator("source"), _defaulting("source", "stdlib")
]
