"""One `ablab run`: from a file to a driven plan in a home."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ablab.arch.accounting import FLOP_CONVENTION
from ablab.arch.registry import load_registry
from ablab.errors import UserError
from ablab.study.driver import Display, Driver
from ablab.study.executor import LocalExecutor
from ablab.study.home import Home, StudyRecord, label
from ablab.study.mirror import Mirror
from ablab.study.plan import Plan, RunSpec, make_plan
from ablab.study.records import Record, finished_keys
from ablab.study.schema import Study, load_study
from ablab.study.sources import Listed
from ablab.study.tally import Patience, Tally
from ablab.study.worker import Setting


@dataclass(frozen=True)
class Request:
    """What was asked for: a study file under a profile and overrides, with plugins from `plugins`."""

    file: Path
    profile: str | None
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The study's name in a home."""
        return label(self.file.stem, self.profile)

    @property
    def command(self) -> str:
        """What follows `ablab run` to ask for the same."""
        profile = [f"--profile {self.profile}"] if self.profile else []
        folders = [f"--plugins {folder}" for folder in self.plugins]
        return " ".join([str(self.file), *self.overrides, *profile, *folders])


@dataclass(frozen=True)
class Planned:
    """A validated study: nothing is created yet."""

    request: Request
    study: Study
    plan: Plan


def planned(request: Request) -> Planned:
    """Reads, validates and plans. Raises UserError with the place of what is wrong."""
    study, document = load_study(request.file, request.profile, request.overrides)
    return Planned(request, study, make_plan(request.name, study, document, load_registry(request.plugins)))


class Session:
    """A planned study being carried out in a home."""

    def __init__(self, planned: Planned, home: Home, display: Display) -> None:
        self.planned, self.home, self.display = planned, home, display
        plan, study = planned.plan, planned.study
        self.record = StudyRecord(home, planned.request.name, study.revision())
        self.mirror = Mirror(home, planned.request.name, study, plan, display.say)
        done = finished_keys(home.root, plan.unique)
        # Seeds in the outer loop: an early look sees every arm.
        order = {seed: i for i, seed in enumerate(study.seed_list())}
        self.waiting: list[RunSpec] = sorted(
            (run for key, run in plan.unique.items() if key not in done), key=lambda run: order[run.seed]
        )

    def run(self, workers: int, threads: int) -> Tally:
        """Trains what is not finished. The records are complete before the views are."""
        sources = {"command": self.planned.request.command, "flop_convention": FLOP_CONVENTION}
        if not self.waiting:
            self.record.write(self.planned.study, self.planned.plan, sources)
            if not self.mirrored():
                self.mirror.open(self.record.revision)
            return Tally()
        self._prepare_tokens()
        self.record.write(self.planned.study, self.planned.plan, sources)
        setting = Setting(self.home.root.resolve(), tuple(p.resolve() for p in self.planned.request.plugins), threads)
        patience = Patience(self.planned.study.retries, self.planned.study.stall_seconds)
        driver = Driver(self.home.root, LocalExecutor(workers, setting), self.mirror, self.display, patience)
        try:
            tally = driver.drive(Listed(self.waiting), self.record.revision)
        finally:
            driver.close()
        self.record.executed(self._execution(workers, tally))
        return tally

    def mirrored(self) -> bool:
        """Whether the tracker shows all of this plan already."""
        seen = self.record.mirrored
        lost = not self.home.tracking_uri(self.planned.study).startswith("http") and not any(self.home.mlflow.glob("*.db"))
        return not lost and seen == self._view()

    def close(self, files: Sequence[Path], *, complete: bool) -> None:
        """Attaches the report's files to the study in the tracker."""
        if self.mirror.close(files, complete=complete) and complete:
            self.record.note_mirrored(self._view())

    def _view(self) -> dict[str, Any]:
        return {"uri": self.home.tracking_uri(self.planned.study), "keys": sorted(self.planned.plan.unique)}

    def _prepare_tokens(self) -> None:
        from ablab.data.store import prepare

        longest: dict[str, int] = {}
        for run in self.waiting:
            longest[run.data] = max(longest.get(run.data, 0), run.dims["context"] or 0)
        for fingerprint, context in longest.items():
            if not (self.home.tokens / fingerprint / "manifest.json").exists():
                self.display.say("preparing the corpus: tokenizing once, for all runs")
            stored = prepare(self.planned.plan.data[fingerprint], self.home.tokens).splits["train"].tokens
            if stored <= context:
                raise UserError(f"the training split has {stored} tokens, fewer than one sequence of {context + 1}")

    def _execution(self, workers: int, tally: Tally) -> dict[str, Any]:
        now = time.time()
        return {
            "time": now,
            # From the start of this process: importing and planning are overhead too.
            "wall_seconds": now - psutil.Process().create_time(),
            "workers": workers,
            "busy_seconds": tally.busy_seconds,
            "trained": tally.trained,
        }


def want_again(home: Home, runs: list[RunSpec]) -> None:
    """A new `ablab run` tries again what failed or was asked to stop."""
    for run in runs:
        Record(home.root, run.key).want_again()
