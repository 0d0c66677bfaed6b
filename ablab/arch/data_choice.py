"""The part of the data that an arm may choose, the third root of paths. The study defines the
rest.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TokenizerChoice:
    """A tokenizer as in a study file: its kind and options (`vocab`, …). It is validated when the
    study is planned.
    """

    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return the value of a study's `data.tokenizer`."""
        return {"kind": self.kind, **dict(self.options)}


@dataclass(frozen=True)
class DataChoice:
    """The tokenizer and context (in tokens) that an arm chooses; None stands for the study's."""

    tokenizer: TokenizerChoice | None = None
    context: int | None = None

    def sizes(self) -> dict[str, int]:
        """Return the sizes that follow from the choice, as far as they are known before the
        tokenizer is trained.
        """
        vocab = dict(self.tokenizer.options).get("vocab") if self.tokenizer else None
        return {
            name: size
            for name, size in (("vocab", vocab), ("context", self.context))
            if size is not None
        }
