"""Checks the token stores of a home."""

from collections.abc import Iterator
from pathlib import Path

from ablab.data.store import store_damage
from ablab.fsck.finding import Finding, set_aside_all

_CONSEQUENCE = "`ablab run` tokenizes the corpus again"


def check_tokens(folder: Path) -> Iterator[Finding]:
    """Yield the faults of the stores in `folder`."""
    if not folder.is_dir():
        return
    for store in sorted(folder.iterdir()):
        if store.is_dir() and not store.name.startswith(".") and store.name != "damaged":
            damage = store_damage(store)
            if damage:
                yield set_aside_all([store], f"cannot be relied on: {damage}", _CONSEQUENCE)
