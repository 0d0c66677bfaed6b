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
    """SentencePiece: a tokenizer trained on the corpus, digits split, bytes for what it does not
    know.

    `vocab` counts every token. Arms that differ in it need a `flops` budget: a token is not the
    same amount of text.
    """

    vocab: Annotated[int, Field(ge=260)] = 2048
    model: Literal["bpe", "unigram"] = "bpe"

    def edit(self) -> Edit:
        """Writes the arm's tokenizer."""
        return {
            "data.tokenizer": TokenizerChoice(
                "sentencepiece", (("vocab", self.vocab), ("model", self.model))
            )
        }
