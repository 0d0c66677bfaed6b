"""Checks the ledger of ideas."""

from collections.abc import Iterator

from ablab.errors import UserError
from ablab.fsck.finding import Finding, set_aside_all
from ablab.fsck.logs import damaged_lines
from ablab.ideas.ledger import Ledger
from ablab.records.home import Home


def check_ledger(home: Home) -> Iterator[Finding]:
    """Yield the faults of a home's ledger. Places of damaged lines stay taken by its repair."""
    ledger = Ledger(home)
    remedy = (
        "replace them by lines that keep their places; `ablab try` of the same idea enters its "
        "result again"
    )
    yield from damaged_lines(ledger.path, remedy, ledger.repair)
    try:
        ledger.entries()
    except UserError:
        problem = "is the ledger of another home"
        yield set_aside_all([ledger.path], problem, "the next idea begins a new one")
