"""Tokenizers as the tokenizers library says them, for those who load a model elsewhere."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import tiktoken
from tokenizers import AddedToken, Tokenizer

from ablab.data.sentencepieces import SentencePieceEncoding
from ablab.data.store import TokenStore
from ablab.data.tokenizers import END_OF_TEXT, byte_of_char, trainable
from ablab.errors import UserError

_OURS = ("ablab-bpe", "ablab-byte")  # the others split text in ways that the library may not know


def portable(store: TokenStore) -> Tokenizer:
    """The store's tokenizer. Raises UserError where the library cannot say it, found by encoding
    the validation split anew.
    """
    encoding = store.encoding()
    if isinstance(encoding, SentencePieceEncoding) or encoding.name not in _OURS:
        raise UserError(f"{encoding.name} has no exact form in the tokenizers library")
    char_of = {byte: char for char, byte in byte_of_char().items()}

    def spelt(token: bytes) -> str:
        return "".join(char_of[byte] for byte in token)

    ranks = {token: encoding.encode_single_token(token) for token in encoding.token_byte_values()}
    merges = [(spelt(a), spelt(b)) for a, b in _merges(ranks)]
    vocab = {spelt(token): rank for token, rank in ranks.items()}
    tokenizer = trainable({**vocab, END_OF_TEXT: encoding.eot_token}, merges)
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False, special=True)])
    if not _agrees(tokenizer, encoding, store):
        raise UserError(
            "the tokenizers library splits the validation text in other tokens than "
            f"{encoding.name}"
        )
    return tokenizer


def _merges(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merge that makes each token, in order: its bytes merged by the ranks below its own leave
    two parts.
    """
    made = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 1:
            below = [ranks.get(a + b, rank) for a, b in pairwise(parts)]
            if (lowest := min(below)) >= rank:
                break
            at = below.index(lowest)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) > 2:
            raise UserError(f"the token {token!r} is not made by one merge")
        if len(parts) == 2:
            made.append((parts[0], parts[1]))
    return made


def _agrees(tokenizer: Tokenizer, encoding: tiktoken.Encoding, store: TokenStore) -> bool:
    """Whether every document of the validation split is encoded to the tokens that are stored."""
    tokens = np.asarray(store.tokens("val"))
    documents = np.split(tokens, np.flatnonzero(tokens == store.end_of_text))
    stored = [
        document[1:].tolist() for document in documents if len(document)
    ]  # each stands behind an end-of-text
    tokenizer.encode_special_tokens = True  # in a text, even that token's name is text
    encoded = tokenizer.encode_batch_fast([encoding.decode(document) for document in stored])
    tokenizer.encode_special_tokens = False
    return [found.ids for found in encoded] == stored
