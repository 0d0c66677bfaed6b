"""A SentencePiece tokenizer (PaLM, LLaMA)."""

from typing import Annotated, Literal

from pydantic import Field

from ablab.plugin import Edit, TokenizerChoice, plugin


@plugin(
    source=(
        "Kudo & Richardson 2018, arXiv:1808.06226; Touvron et al. 2023 (LLaMA), "
        "arXiv:2302.13971, section 2.1"
    )
)
class Sentencepiece:
    """SentencePiece: a tokenizer trained on the corpus, with split digits and byte fallback.

    `vocab` is the total number of tokens. Arms that differ in it need a `flops` budget, since their
    tokens are not the same amount of text.
    """

    vocab: Annotated[int, Field(ge=260)] = 2048
    model: Literal["bpe", "unigram"] = "bpe"

    def edit(self) -> Edit:
        """Return an edit that sets the arm's tokenizer."""
        return {
            "data.tokenizer": TokenizerChoice(
                "sentencepiece", (("vocab", self.vocab), ("model", self.model))
            )
        }
