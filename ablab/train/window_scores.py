"""The scores of the windows of a split, which a run keeps beside its result."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablab.files import write_atomically


@dataclass(frozen=True)
class WindowScores:
    """Scores by window; all arrays are `(windows,)`."""

    nll: np.ndarray
    """Negative log-likelihood of the window in nats, float64."""
    document: np.ndarray
    """Index of its document in the split."""
    bytes: np.ndarray
    """Size of its text in UTF-8."""
    tokens: np.ndarray
    """Number of its tokens."""

    def same_windows(self, other: "WindowScores") -> bool:
        """Whether both are scores of the same windows; their tokens may differ."""
        return np.array_equal(self.document, other.document) and np.array_equal(
            self.bytes, other.bytes
        )

    def write(self, path: Path) -> None:
        """Write the scores, completely or not at all."""
        write_atomically(
            path,
            lambda file: np.savez(
                file,
                nll=self.nll,
                document=self.document,
                bytes=self.bytes,
                tokens=self.tokens,
            ),
        )

    @classmethod
    def read(cls, path: Path) -> "WindowScores | None":
        """Return the scores in a file; None if there is none, or it is damaged."""
        try:
            with np.load(path) as content:
                return cls(*(content[name] for name in ("nll", "document", "bytes", "tokens")))
        except (FileNotFoundError, KeyError, ValueError, zipfile.BadZipFile):
            return None
