"""What an arm may choose of its data: the third root of paths. The study says the rest."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TokenizerChoice:
    """A tokenizer as a study file would say it: its kind and options (`vocab`, …). Checked when the
    study is planned.
    """

    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def settings(self) -> dict[str, Any]:
        """As a study's `data.tokenizer`."""
        return {"kind": self.kind, **dict(self.options)}


@dataclass(frozen=True)
class DataChoice:
    """The arm's own tokenizer and context (tokens); None: the study's."""

    tokenizer: TokenizerChoice | None = None
    context: int | None = None

    def sizes(self) -> dict[str, int]:
        """The sizes that follow, as far as they can be known here."""
        vocab = dict(self.tokenizer.options).get("vocab") if self.tokenizer else None
        return {
            name: size
            for name, size in (("vocab", vocab), ("context", self.context))
            if size is not None
        }
