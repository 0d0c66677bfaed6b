"""The ledger of a home: all ideas that were tried in it, in order, with the level of each test.

The file has two lines for each idea: one when it is registered, before anything is trained, and one
with its result. A level is fixed at registration, so that no result can move it.
"""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ablab.errors import UserError
from ablab.files import locked
from ablab.json_lines import append_row, damaged_count, read_rows, write_rows
from ablab.records.home import Home
from ablab.stats.inference.online import lond_level, two_sided

ALPHA = 0.1
"""Bound of the false discovery rate: the expected share of ideas without an effect among those that
are kept.
"""
_REGISTERED, _CONCLUDED, _LOST = "registered", "concluded", "lost"
Decision = Literal["keep", "discard", "inconclusive"]


@dataclass(frozen=True)
class Attempt:
    """An idea to register: what is tried, and where."""

    change: str
    """The change."""
    contexts: tuple[str, ...]
    """The models that it is tried in."""
    arms: tuple[str, ...]
    """Digest of each context with the change, at its sizes and budget and on its data, whatever it
    is called and whatever the seeds.
    """
    seeds: tuple[int, ...]
    """All seeds that its runs may have."""
    rules: str
    """Digest of what else decides the verdicts: the planned looks, the metric and the margin."""

    def repeats(self, other: "Attempt") -> bool:
        """Return whether this is the same test of the same runs as another attempt."""
        return self._test == other._test

    def overlaps(self, other: "Attempt") -> bool:
        """Return whether some runs with the change are those of another attempt."""
        return bool({*self.arms} & {*other.arms} and {*self.seeds} & {*other.seeds})

    @property
    def _test(self) -> tuple[object, ...]:
        return sorted(self.arms), self.seeds, self.rules


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

    @property
    def helps_level(self) -> float:
        """The level of its study for what helps: p-values of studies are two-sided."""
        return two_sided(self.level)

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

    def known(self, attempt: Attempt) -> Entry | None:
        """Return the entry of an attempt; None if it is a new one.

        Raises:
            UserError: if some of its runs were tried already, as another test: their results are
                known, and a test that is chosen after them is no independent one.

        """
        entries = self.entries()
        for entry in entries:
            if entry.attempt.repeats(attempt):
                return entry
        earlier = [entry for entry in entries if entry.attempt.overlaps(attempt)]
        if earlier and earlier[-1].decision is None:
            entry = earlier[-1]
            file = self._home.root / "ideas" / f"{entry.study}.yaml"
            raise UserError(
                f"{attempt.change}: entry {entry.number} of the ledger is not finished: `ablab try "
                f"{shlex.quote(entry.attempt.change)} --protocol {file}` goes on with it"
            )
        if earlier:
            numbers = ", ".join(f"{entry.number}" for entry in earlier)
            raise UserError(
                f"{attempt.change} was tried on some of these seeds (entry {numbers} of the "
                "ledger), and another test of the same runs is no new one: "
                f"{on_new_seeds(attempt)}"
            )
        return None

    def next_place(self) -> tuple[int, int]:
        """Return the number that the next idea gets, and how many ideas were kept before it.

        A damaged line may have registered an idea, whose number stays taken.
        """
        entries = self.entries()
        last = max((entry.number for entry in entries), default=0)
        lost = sum(row["event"] == _LOST for row in read_rows(self.path))
        number = 1 + max(last, len(entries) + lost + self.damaged)
        return number, sum(entry.decision == "keep" for entry in entries)

    def register(self, attempt: Attempt, slug: str) -> Entry:
        """Return the entry of an attempt, which is added unless the ledger has it.

        Raises:
            UserError: as `known` does.

        """
        with self._locked():
            entry = self.known(attempt)
            if entry is not None:
                return entry
            number, discoveries = self.next_place()
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
    attempt = Attempt(
        row["change"],
        tuple(row["contexts"]),
        tuple(row["arms"]),
        tuple(row["seeds"]),
        row["rules"],
    )
    return Entry(
        row["number"], attempt, row["level"], row["discoveries"], row["study"], row["time"]
    )


def on_new_seeds(attempt: Attempt) -> str:
    """Return how to try an idea on other seeds than those of an attempt."""
    count = len(attempt.seeds)
    return f"`--again {count}` tries it on new seeds, from {max(attempt.seeds) + 1} on"


def new_seeds(arms: Sequence[str], entries: Sequence[Entry], count: int) -> list[int]:
    """Return `count` seeds on which none of these arms was tried: those of the latest attempt at
    them that has no result yet, or else those that follow all others.
    """
    tried = [entry for entry in entries if {*entry.attempt.arms} & {*arms}]
    if tried and tried[-1].decision is None and len(tried[-1].attempt.seeds) == count:
        return list(tried[-1].attempt.seeds)
    first = 1 + max((seed for entry in tried for seed in entry.attempt.seeds), default=0)
    return list(range(first, first + count))
