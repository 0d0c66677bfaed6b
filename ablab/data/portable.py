"""Conversion of tokenizers to the tokenizers library, for loading a model elsewhere."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import tiktoken
from tokenizers import AddedToken, Tokenizer

from ablab.data.sentencepieces import SentencePieceEncoding
from ablab.data.store import TokenStore
from ablab.data.tokenizers import END_OF_TEXT, byte_of_char, trainable
from ablab.errors import UserError

_OURS = (
    "ablab-bpe",
    "ablab-byte",
)  # others may split text in ways that the library does not support


def portable(store: TokenStore) -> Tokenizer:
    """Return the tokenizer of the store. Raises UserError if the library cannot represent it, which
    is checked by encoding the validation split again.
    """
    encoding = store.encoding()
    if isinstance(encoding, SentencePieceEncoding) or encoding.name not in _OURS:
        raise UserError(f"{encoding.name} has no exact form in the tokenizers library")
    char_of = {byte: char for char, byte in byte_of_char().items()}

    def spell(token: bytes) -> str:
        return "".join(char_of[byte] for byte in token)

    ranks = {token: encoding.encode_single_token(token) for token in encoding.token_byte_values()}
    merges = [(spell(a), spell(b)) for a, b in _merges(ranks)]
    vocab = {spell(token): rank for token, rank in ranks.items()}
    tokenizer = trainable({**vocab, END_OF_TEXT: encoding.eot_token}, merges)
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False, special=True)])
    if not _agrees(tokenizer, encoding, store):
        raise UserError(
            "the tokenizers library splits the validation text in other tokens than "
            f"{encoding.name}"
        )
    return tokenizer


def _merges(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Return the merge that produces each token, in order of rank: merging its bytes by all lower
    ranks leaves two parts.
    """
    merges: list[tuple[bytes, bytes]] = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 1:
            pair_ranks = [ranks.get(a + b, rank) for a, b in pairwise(parts)]
            lowest = min(pair_ranks)
            if lowest >= rank:
                break
            at = pair_ranks.index(lowest)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) > 2:
            raise UserError(f"the token {token!r} is not the result of one merge")
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
    return merges


def _agrees(tokenizer: Tokenizer, encoding: tiktoken.Encoding, store: TokenStore) -> bool:
    """Return whether every document of the validation split is encoded to its tokens in the
    store.
    """
    tokens = np.asarray(store.tokens("val"))
    documents = np.split(tokens, np.flatnonzero(tokens == store.end_of_text))
    # Each document follows an end-of-text token.
    expected = [document[1:].tolist() for document in documents if len(document)]
    tokenizer.encode_special_tokens = (
        True  # within a document, the name of that token is ordinary text
    )
    encoded = tokenizer.encode_batch_fast([encoding.decode(document) for document in expected])
    tokenizer.encode_special_tokens = False
    return [output.ids for output in encoded] == expected
