"""The progress of a study, from its run records alone. It looks at few files per run, so that
thousands of runs take a second or two.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ablab.records.run_record import Record
from ablab.records.run_state import RUN_STATES, RunState
from ablab.records.study_content import Entry, TrialEntry
from ablab.records.study_record import StudyRecord


@dataclass(frozen=True)
class Counts:
    """Number of runs in each state. `diverged`: among the finished ones."""

    total: int
    finished: int
    diverged: int
    running: int
    waiting: int
    failed: int
    cancelled: int
    pruned: int


@dataclass(frozen=True)
class RunningRun:
    """A run under way. `trial`: its number in a tuning or search. `where`: host:pid. `share` of its
    budget; None while it starts. `attempts`: how many failed before. `stopping`: it is asked to
    stop.
    """

    arm: str
    seed: int
    key: str
    trial: int | None
    where: str
    share: float | None
    loss: float | None
    tokens_per_second: float | None
    attempts: int
    stopping: bool


@dataclass(frozen=True)
class EndedRun:
    """A run that was given up, or asked to stop, and why. `attempts`: how many failed."""

    arm: str
    seed: int
    key: str
    trial: int | None
    state: RunState
    reason: str
    attempts: int


@dataclass(frozen=True)
class StudyStatus:
    """How a study stands. `runs`: those of its design; `trials`: those of a tuning or search, None
    where there is none. `to_come`: how many will follow from what trials decide, as far as can be
    said; `may_come`: how many more may, where verdicts ask for more seeds or all arms get one
    recipe. `seconds_left`: None where nothing runs, or nothing is known yet.
    """

    study: str
    revision: str
    question: str
    runs: Counts
    trials: Counts | None
    to_come: int
    running: list[RunningRun]
    ended: list[EndedRun]
    seconds_left: float | None
    may_come: int = 0

    @property
    def settled(self) -> bool:
        """Whether nothing runs or waits, and nothing will follow by itself."""
        every = [self.runs] + ([self.trials] if self.trials else [])
        more = self.to_come or self.may_come
        return not any(counts.running or counts.waiting for counts in every) and not (
            more and not self.ended
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class _Finished:
    seconds: float
    diverged: bool


def state(home: Path, key: str) -> RunState:
    """Return the state of a run."""
    return _state(Record(home, key), _names(home, key))


class StatusReader:
    """Reads the status of a study repeatedly; results are read once."""

    def __init__(self, record: StudyRecord) -> None:
        self.record = record
        self._home = record.home.root
        self._finished: dict[str, _Finished] = {}

    def read(self) -> StudyStatus:
        """Return the present status.

        Raises:
            UserError: if the study was never run here.

        """
        content = self.record.read()
        runs = content.run_entries
        trials = content.trial_entries
        entries: dict[str, Entry] = {**runs, **trials}
        states = self._states(entries)
        running = [
            (self._running(entry), _run_seconds(Record(self._home, key)))
            for key, entry in entries.items()
            if states[key] == RunState.RUNNING
        ]
        expected = content.expected
        to_come = max(0, expected.runs + expected.trials - len(entries))
        waiting = [e.arm for key, e in entries.items() if states[key] == RunState.WAITING]
        return StudyStatus(
            study=self.record.name,
            revision=self.record.revision,
            question=content.study.question,
            runs=self._counts(runs, states),
            trials=self._counts(trials, states) if trials else None,
            to_come=to_come,
            running=[run for run, _ in running],
            ended=[self._ended(entries[key], now) for key, now in states.items() if now.ended],
            seconds_left=self._left(entries, running, [*waiting, *[""] * to_come]),
            may_come=(expected.most or expected.runs) - expected.runs,
        )

    def _states(self, keys: Iterable[str]) -> dict[str, RunState]:
        """The state of each run, by key."""
        states: dict[str, RunState] = {}
        for key in keys:
            record = Record(self._home, key)
            if key not in self._finished:
                states[key] = _state(record, _names(self._home, key))
                if states[key] != RunState.FINISHED or (result := record.result) is None:
                    continue
                self._finished[key] = _Finished(result.cost.seconds, result.diverged)
            states[key] = RunState.FINISHED
        return states

    def _counts(self, keys: Iterable[str], states: Mapping[str, RunState]) -> Counts:
        counts = Counter(states[key] for key in keys)
        diverged = sum(self._finished[key].diverged for key in keys if key in self._finished)
        by_name = {state.value: counts[state] for state in RUN_STATES}
        return Counts(total=counts.total(), diverged=diverged, **by_name)

    def _running(self, entry: Entry) -> RunningRun:
        record = Record(self._home, entry.key)
        owner = record.lease().owner
        progress = record.progress
        loss = progress.get("train/loss")
        return RunningRun(
            **_identity(entry),
            where=f"{owner.get('host', '?')}:{owner.get('pid', '?')}",
            share=progress.get("share"),
            loss=loss if loss is None or math.isfinite(loss) else None,
            tokens_per_second=progress.get("cost/tokens_per_second") or None,
            attempts=len(record.attempts.rows()),
            stopping=record.stop.requested,
        )

    def _ended(self, entry: Entry, state: RunState) -> EndedRun:
        record = Record(self._home, entry.key)
        failure = record.failure or {}
        reason = failure.get("reason", "") if state == RunState.FAILED else record.stop.reason
        return EndedRun(
            **_identity(entry), state=state, reason=reason, attempts=len(record.attempts.rows())
        )

    def _left(
        self,
        entries: Mapping[str, Entry],
        running: Sequence[tuple[RunningRun, float | None]],
        waiting: Sequence[str],
    ) -> float | None:
        """Seconds left, if as many runs stay under way as now.

        A run that waits is taken to need what its arm's runs need, or the mean over all arms.
        """
        seconds: dict[str, list[float]] = {}
        for key, finished in self._finished.items():
            if key in entries:
                seconds.setdefault(entries[key].arm, []).append(finished.seconds)
        for run, duration in running:
            if duration is not None:
                seconds.setdefault(run.arm, []).append(duration)
        if not seconds or not running:
            return None
        overall = fmean([value for values in seconds.values() for value in values])
        typical = {arm: fmean(values) for arm, values in seconds.items()}
        rest = [
            (1 - (run.share or 0.0)) * (duration or typical.get(run.arm, overall))
            for run, duration in running
        ]
        total = sum(rest) + sum(typical.get(arm, overall) for arm in waiting)
        return max(total / len(running), *rest)


def _identity(entry: Entry) -> dict[str, Any]:
    number = entry.number if isinstance(entry, TrialEntry) else None
    return {"arm": entry.arm, "seed": entry.seed, "key": entry.key, "trial": number}


def _names(home: Path, key: str) -> set[str]:
    """The files of a run's record: one listing answers most questions."""
    try:
        return set(os.listdir(home / "runs" / key))
    except FileNotFoundError:
        return set()


def _state(record: Record, names: set[str]) -> RunState:
    if "result.json" in names and record.finished:
        return RunState.FINISHED
    if "lease.json" in names and record.lease().held():
        return RunState.RUNNING
    if "stop.json" in names:
        return record.stop.state
    return RunState.FAILED if "failure.json" in names else RunState.WAITING


def _run_seconds(record: Record) -> float | None:
    """Training time that a running run will have taken at its end; None if not known."""
    progress = record.progress
    share = progress.get("share", 0.0)
    speed = progress.get("cost/tokens_per_second", 0.0)
    return progress["cost/tokens"] / speed / share if share and speed else None
