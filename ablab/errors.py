"""Errors that are shown to users without a traceback."""

import errno
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from ablab.text.truncate import shown

# What a machine may lack for any file, as opposed to what is wrong with one file, and the remedy.
_MACHINE_FAULTS = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room",
    errno.EFBIG: "the limit on the size of files is reached: raise it (`ulimit -f`)",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk fails to read or write",
    errno.ESTALE: "the file system is away",
    errno.EMFILE: "this process may not open more files: raise the limit (`ulimit -n`)",
    errno.ENFILE: "this machine may not open more files",
}
# How libraries written in Rust end the message of an error of the operating system.
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")

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
    error = root_cause(error)
    lines = [line.strip() for line in str(error).splitlines()]
    text = next(filter(None, lines), "")[:_MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def root_cause(error: BaseException) -> BaseException:
    """Return the error that `error` was raised from, at the end of the chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def machine_fault(error: BaseException, folder: Path | None = None) -> str | None:
    """Describe in one line a fault of the machine, such as a full disk, that caused `error`.

    `folder` is named if the error names no file. Returns None if the error has another cause.
    """
    for cause in _causes(error):
        in_rust = _RUST_ERROR.search(str(cause))
        number = getattr(cause, "errno", None) or (int(in_rust[1]) if in_rust else None)
        if number in _MACHINE_FAULTS:
            file = getattr(cause, "filename", None) or folder
            return f"{file}: {_MACHINE_FAULTS[number]}" if file else _MACHINE_FAULTS[number]
    return None


@contextmanager
def machine_faults_to(handle: Callable[[str], object], folder: Path) -> Iterator[None]:
    """Call `handle` with the description of a fault of the machine that ends the block."""
    try:
        yield
    except Exception as error:
        fault = machine_fault(error, folder)
        if fault is None:
            raise
        handle(fault)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from or while handling."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return an error for a name that is not among `known`, with similar names as suggestions."""
    choices = sorted(known)
    similar = get_close_matches(name, choices, n=3, cutoff=0.5)
    if similar:
        hint = f"did you mean {' or '.join(map(repr, similar))}?"
    else:
        hint = f"known: {', '.join(choices) or 'none'}"
    return UserError(f"no {kind} named {shown(name)} ({hint})")
