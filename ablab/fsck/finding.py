"""What a check of a home finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablab.files import set_aside


@dataclass(frozen=True)
class Finding:
    """A fault of a home, and its repair."""

    path: Path
    """The file or folder at fault."""
    problem: str
    """What is wrong with it, as a predicate: `is damaged (its digest does not match)`."""
    remedy: str
    """What `repair` does, in the imperative, and what follows from it."""
    repair: Callable[[], object]
    """Repairs it."""


def damaged(path: Path, reason: str, consequence: str) -> Finding:
    """Return a finding whose repair sets one file or folder aside."""
    return set_aside_all([path], f"is damaged ({reason})", consequence)


def set_aside_all(paths: Sequence[Path], problem: str, consequence: str) -> Finding:
    """Return a finding about the first of `paths`, whose repair sets all of them aside."""
    remedy = f"set it aside; {consequence}"
    return Finding(paths[0], problem, remedy, lambda: set_aside(paths))
