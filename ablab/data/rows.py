"""The form in which every source returns its documents."""

from typing import TypedDict


class Row(TypedDict):
    """A document."""

    name: str
    text: str
