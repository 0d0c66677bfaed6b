"""How a study stands, from its run records alone. Few looks per run: thousands are told in a second
or two.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ablab.records.home import StudyRecord
from ablab.records.run_record import Record

State = Literal["done", "running", "pruned", "cancelled", "failed", "waiting"]
Listed = Mapping[str, Any]


@dataclass(frozen=True)
class Counts:
    """Runs by how they stand. `diverged`: among those done."""

    total: int
    done: int
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
    state: State
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


def state(home: Path, key: str) -> State:
    """How a run stands."""
    return _state(Record(home, key), _names(home, key))


def listed(content: Mapping[str, Any]) -> tuple[dict[str, Listed], dict[str, Listed]]:
    """The runs (those with a shared recipe among them) and the trials that a study's record names,
    by key; one that is both counts as a run.
    """
    shared = content.get("shared") or {"runs": []}
    runs = {run["key"]: run for run in (*shared["runs"], *content["runs"])}
    trials = {run["key"]: run for run in content["trials"] if run["key"] not in runs}
    return runs, trials


class StatusReader:
    """Reads how a study stands, again and again: what is finished is read once."""

    def __init__(self, record: StudyRecord) -> None:
        self.record, self._home = record, record.home.root
        self._finished: dict[str, _Finished] = {}

    def read(self) -> StudyStatus:
        """How it stands now. Raises UserError where it was never run here."""
        content = self.record.read()
        runs, trials = listed(content)
        every = {**runs, **trials}
        files = {key: _names(self._home, key) for key in every if key not in self._finished}
        states: dict[str, State] = dict.fromkeys(every, "done")
        states.update({key: _state(Record(self._home, key), names) for key, names in files.items()})
        for key in files:
            if states[key] == "done" and (result := Record(self._home, key).result) is not None:
                self._finished[key] = _Finished(result["cost"]["seconds"], result["diverged"])
        going = [
            (self._running(run), _rate(Record(self._home, key)))
            for key, run in every.items()
            if states[key] == "running"
        ]
        ended = [
            self._ended(every[key], now)
            for key, now in states.items()
            if now in ("failed", "cancelled", "pruned")
        ]
        expected = content["expected"]
        to_come = max(0, expected["runs"] + expected["trials"] - len(every))
        waiting = [every[key]["arm"] for key, now in states.items() if now == "waiting"] + [
            ""
        ] * to_come
        return StudyStatus(
            study=self.record.name,
            revision=self.record.revision,
            question=content["config"]["question"],
            runs=self._counts(runs, states),
            trials=self._counts(trials, states) if trials else None,
            to_come=to_come,
            running=[run for run, _ in going],
            ended=ended,
            seconds_left=self._left(every, going, waiting),
            may_come=(expected.get("most") or expected["runs"]) - expected["runs"],
        )

    def _counts(self, keys: Iterable[str], states: Mapping[str, State]) -> Counts:
        mine = [states[key] for key in keys]
        diverged = sum(self._finished[key].diverged for key in keys if key in self._finished)
        names: tuple[State, ...] = ("done", "running", "waiting", "failed", "cancelled", "pruned")
        return Counts(
            total=len(mine), diverged=diverged, **{name: mine.count(name) for name in names}
        )

    def _running(self, run: Listed) -> RunningRun:
        record = Record(self._home, run["key"])
        owner, progress = record.lease().owner, record.progress
        loss, speed = progress.get("train/loss"), progress.get("cost/tokens_per_second")
        return RunningRun(
            **_named(run),
            where=f"{owner.get('host', '?')}:{owner.get('pid', '?')}",
            share=progress.get("share"),
            loss=loss if loss is None or math.isfinite(loss) else None,
            tokens_per_second=speed or None,
            attempts=len(record.attempts),
            stopping=record.stop_asked,
        )

    def _ended(self, run: Listed, now: State) -> EndedRun:
        record = Record(self._home, run["key"])
        reason = (record.failure or {}).get("reason", "") if now == "failed" else record.stop_reason
        return EndedRun(**_named(run), state=now, reason=reason, attempts=len(record.attempts))

    def _left(
        self,
        every: Mapping[str, Listed],
        going: Sequence[tuple[RunningRun, float | None]],
        waiting: Sequence[str],
    ) -> float | None:
        """Seconds, if as many runs go on side by side as do now. A run that waits takes what its
        arm's runs take, or any.
        """
        took: dict[str, list[float]] = {}
        for key, finished in self._finished.items():
            if key in every:
                took.setdefault(every[key]["arm"], []).append(finished.seconds)
        for run, whole in going:
            if whole is not None:
                took.setdefault(run.arm, []).append(whole)
        if not took or not going:
            return None
        any_arm = _mean([seconds for each in took.values() for seconds in each])
        typical = {arm: _mean(each) for arm, each in took.items()}
        rest = [
            (1 - (run.share or 0.0)) * (whole or typical.get(run.arm, any_arm))
            for run, whole in going
        ]
        total = sum(rest) + sum(typical.get(arm, any_arm) for arm in waiting)
        return max(total / len(going), *rest)


def _named(run: Listed) -> dict[str, Any]:
    return {"arm": run["arm"], "seed": run["seed"], "key": run["key"], "trial": run.get("number")}


def _names(home: Path, key: str) -> set[str]:
    """The files of a run's record: one look answers most questions."""
    try:
        return set(os.listdir(home / "runs" / key))
    except FileNotFoundError:
        return set()


def _state(record: Record, names: set[str]) -> State:
    if "result.json" in names:
        return "done"
    if "lease.json" in names and record.lease().held():
        return "running"
    if "stop.json" in names:
        return "pruned" if record.pruned else "cancelled"
    return "failed" if "failure.json" in names else "waiting"


def _rate(record: Record) -> float | None:
    """Seconds that a running run will have trained for at its end, as far as it shows."""
    progress = record.progress
    share, speed = progress.get("share", 0.0), progress.get("cost/tokens_per_second", 0.0)
    return progress["cost/tokens"] / speed / share if share and speed else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
