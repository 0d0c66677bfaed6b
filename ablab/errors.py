"""Errors that are shown to users without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Invalid input. The command prints the message without a traceback, and exits with 2."""

    def at(self, place: str) -> "UserError":
        """Return the error with `place` (an arm's name, `file:line:column: key`) prepended."""
        return UserError(f"{place}: {self}")


class RunFailed(Exception):
    """A run failed for another reason than invalid input. The command exits with 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return an error for a name that is not among `known`, with similar names as suggestions."""
    choices = sorted(known)
    similar = get_close_matches(name, choices, n=3, cutoff=0.5)
    if similar:
        hint = f"did you mean {' or '.join(map(repr, similar))}?"
    else:
        hint = f"known: {', '.join(choices) or 'none'}"
    return UserError(f"no {kind} named {name!r} ({hint})")
