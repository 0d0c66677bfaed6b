"""Errors that a user can mend, and the help that goes with them."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user gave is wrong. The message is shown alone, without a traceback; exit
    status 2.
    """

    def at(self, place: str) -> "UserError":
        """The same error, said of `place` (an arm's name, `file:line:column: key`)."""
        return UserError(f"{place}: {self}")


class RunFailed(Exception):
    """A run could not be trained for a reason that is not the user's input; exit status 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An error for a name that is not among `known`, with the nearest right names."""
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(repr(n) for n in near)}?"
    else:
        hint = f"known: {', '.join(choices) or 'none'}"
    return UserError(f"no {kind} named {name!r} ({hint})")
