"""Errors that are shown to users without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches

from ablab.text.truncate import shown

_MAX_REASON = 500  # characters


class UserError(Exception):
    """Invalid input. The command prints the message without a traceback, and exits with 2."""

    def at(self, place: str) -> "UserError":
        """Return the error with `place` (an arm's name, `file:line:column: key`) prepended."""
        return UserError(f"{place}: {self}")


class RunFailed(Exception):
    """A run failed for another reason than invalid input. The command exits with 1."""


def reason(error: BaseException) -> str:
    """Return the type and the first line of an error: of its cause, where it wraps another.

    Libraries wrap the error that tells what is wrong in one that does not.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines()]
    text = next(filter(None, lines), "")[:_MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return an error for a name that is not among `known`, with similar names as suggestions."""
    choices = sorted(known)
    similar = get_close_matches(name, choices, n=3, cutoff=0.5)
    if similar:
        hint = f"did you mean {' or '.join(map(repr, similar))}?"
    else:
        hint = f"known: {', '.join(choices) or 'none'}"
    return UserError(f"no {kind} named {shown(name)} ({hint})")
