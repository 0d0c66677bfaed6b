"""The ledger of a home: all ideas that were tried in it, in order, with the level of each test.

The file has two lines for each idea: one when it is registered, before anything is trained, and one
with its result. A level is fixed at registration, so that no result can move it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ablab.errors import UserError
from ablab.files import locked
from ablab.json_lines import append_row, damaged_count, read_rows, write_rows
from ablab.records.home import Home
from ablab.stats.inference.online import lond_level

ALPHA = 0.1
"""Bound of the false discovery rate: the expected share of ideas without an effect among those that
are kept.
"""
_REGISTERED, _CONCLUDED, _LOST = "registered", "concluded", "lost"
Decision = Literal["keep", "discard", "inconclusive"]


@dataclass(frozen=True)
class Attempt:
    """An idea to register: what is tried, and where."""

    digest: str
    """Digest of the idea under its protocol, whatever the seeds."""
    change: str
    """The change."""
    contexts: tuple[str, ...]
    """The models that it is tried in."""
    seeds: tuple[int, ...]
    """All seeds that its runs may have."""


@dataclass(frozen=True)
class Entry:
    """An idea in the ledger."""

    number: int
    """Place in the order of registration, from 1 on."""
    attempt: Attempt
    """What was tried."""
    level: float
    """Level of its test: it is kept if its one-sided p, corrected for the number of contexts, is
    below this.
    """
    discoveries: int
    """Number of ideas that were kept before it was registered."""
    study: str
    """Name of its study."""
    time: float
    """Time of its registration, in seconds since 1970."""
    decision: Decision | None = None
    """Result; None as long as it is not known."""
    effects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By context: estimate, 95 % interval (low, high) and verdict."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        content = asdict(self)
        return {**content.pop("attempt"), **content}


class Ledger:
    """The ledger of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.path = home.root / "ledger.jsonl"

    @property
    def damaged(self) -> int:
        """Number of damaged lines, which are left out."""
        return damaged_count(self.path)

    def repair(self) -> None:
        """Replace damaged lines by ones that keep their places in the stream."""
        with self._locked():
            lost = {"event": _LOST, "home": self._home.identity(), "number": 0}
            write_rows(self.path, [*read_rows(self.path), *[lost] * self.damaged])

    def entries(self) -> list[Entry]:
        """Return all ideas in the order of registration.

        Raises:
            UserError: if the ledger is that of another home, where its levels do not hold.

        """
        rows = read_rows(self.path)
        if not rows:
            return []
        identity = self._home.identity()
        if any(row.get("home") != identity for row in rows):
            raise UserError(
                f"{self.path}: the ledger of another home, whose levels do not hold here: move it "
                "away, and a new one is begun"
            )
        entries: dict[int, Entry] = {}
        for row in rows:
            number = row["number"]
            if row["event"] == _REGISTERED:
                entries[number] = _registered(row)
            elif row["event"] == _CONCLUDED and number in entries:
                entries[number] = replace(
                    entries[number], decision=row["decision"], effects=row["effects"]
                )
        return [entries[number] for number in sorted(entries)]

    def register(self, attempt: Attempt, slug: str) -> Entry:
        """Return the entry of an attempt, which is added unless the ledger has it.

        Raises:
            UserError: if the idea was tried on some of these seeds, but not on the same ones: its
                result is known, and a second test of it would not be independent.

        """
        with self._locked():
            entries = self.entries()
            for entry in entries:
                if entry.attempt == attempt:
                    return entry
            _require_new_seeds(attempt, entries)
            last = max((entry.number for entry in entries), default=0)
            # A damaged line may have registered an idea, whose number stays taken.
            lost = sum(row["event"] == _LOST for row in read_rows(self.path))
            number = 1 + max(last, len(entries) + lost + self.damaged)
            discoveries = sum(entry.decision == "keep" for entry in entries)
            level = lond_level(number, discoveries, ALPHA)
            study = f"idea-{number:04}-{slug}"
            entry = Entry(number, attempt, level, discoveries, study, time.time())
            self._append(_REGISTERED, entry.as_json())
            return entry

    def conclude(
        self, entry: Entry, decision: Decision, effects: Mapping[str, Mapping[str, Any]]
    ) -> Entry:
        """Write the result of an idea, and return its entry with it. A result that is known stays
        unless the runs say otherwise.
        """
        concluded = replace(entry, decision=decision, effects=effects)
        with self._locked():
            known = next((e for e in self.entries() if e.number == entry.number), None)
            if known != concluded:
                row = {"number": entry.number, "decision": decision, "effects": effects}
                self._append(_CONCLUDED, row)
        return concluded

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._home.create()
        with locked(self.path.with_suffix(".lock")):
            yield

    def _append(self, event: str, row: Mapping[str, Any]) -> None:
        append_row(self.path, {"event": event, "home": self._home.identity(), **row})


def _registered(row: Mapping[str, Any]) -> Entry:
    attempt = Attempt(row["digest"], row["change"], tuple(row["contexts"]), tuple(row["seeds"]))
    return Entry(
        row["number"], attempt, row["level"], row["discoveries"], row["study"], row["time"]
    )


def _require_new_seeds(attempt: Attempt, entries: Sequence[Entry]) -> None:
    earlier = [entry for entry in entries if entry.attempt.digest == attempt.digest]
    seen = {seed for entry in earlier for seed in entry.attempt.seeds}
    if seen & set(attempt.seeds):
        numbers = ", ".join(f"{entry.number}" for entry in earlier)
        raise UserError(
            f"{attempt.change} was tried on some of these seeds (entry {numbers} of the ledger), "
            f"and a test of the same runs is no new one: `--again {len(attempt.seeds)}` tries it "
            f"on new seeds, from {max(seen) + 1} on"
        )


def new_seeds(digest: str, entries: Sequence[Entry], count: int) -> list[int]:
    """Return seeds on which an idea was not tried before, from the first on that follows them."""
    seen = [s for entry in entries if entry.attempt.digest == digest for s in entry.attempt.seeds]
    first = 1 + max(seen, default=0)
    return list(range(first, first + count))
