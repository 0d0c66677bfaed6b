"""What an examination finds."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Something works differently than it could."""
    PROBLEM = "problem"
    """Something does not work."""


@dataclass(frozen=True)
class Finding:
    """The result of an examination."""

    subject: str
    """What was examined, in a word or two."""
    status: Status
    text: str
    """What was found, in one line, and what to do about it."""


def ok(subject: str, text: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(subject, Status.OK, text)


def warning(subject: str, text: str) -> Finding:
    """Return a finding that something works differently than it could."""
    return Finding(subject, Status.WARNING, text)


def problem(subject: str, text: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(subject, Status.PROBLEM, text)
