"""`ablab status`: the progress of a study, once or continuously."""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import HomeDir, Json, Profile, StudyName
from ablab.cli.studies import study_record

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from ablab.execute.executors.job_status import JobStatus
    from ablab.records.status import Counts, EndedRun, RunningRun, StudyStatus
    from ablab.records.study_record import StudyRecord

_WATCH_SECONDS = 2.0
_MAX_LINES = 20  # per state; --json has no limit


def status(
    study: StudyName,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Update until no run is running or waiting."),
    ] = False,
    profile: Profile = None,
    as_json: Json = False,
    home: HomeDir = None,
) -> None:
    """Show a study's progress: runs done, running, waiting and failed, and the time left."""
    from rich.console import Console

    reader = _Reader(study_record(study, profile, None, home))
    console = Console(highlight=False)
    try:
        if watch and console.is_terminal and not as_json:
            _live(reader, console)
        else:
            _plain(reader, console, watch=watch, as_json=as_json)
    except KeyboardInterrupt:  # typer would print "Aborted!"
        sys.exit(130)


@dataclass
class _Status:
    """The status of a study's runs, and the jobs in queues that train them."""

    runs: "StudyStatus"
    jobs: "list[JobStatus]"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        jobs = [
            {"id": j.id, "state": j.state, "detail": j.detail, "log": str(j.log)} for j in self.jobs
        ]
        return {**self.runs.as_dict(), "jobs": jobs}


class _Reader:
    """Reads the status of a study repeatedly."""

    def __init__(self, record: "StudyRecord") -> None:
        from ablab.records.status import StatusReader

        self._record = record
        self._runs = StatusReader(record)

    def read(self) -> _Status:
        """Return the present status."""
        from ablab.execute.executors.queues import job_statuses

        runs = self._runs.read()
        return _Status(runs, job_statuses(self._record.home.root, self._record.keys))


def _plain(reader: _Reader, console: "Console", *, watch: bool, as_json: bool) -> None:
    """Print the status; with `watch`, again whenever it changes."""
    last = None
    while True:
        now = reader.read()
        if now != last:
            if as_json:
                print(json.dumps(now.as_dict(), indent=None if watch else 1), flush=True)
            else:
                console.print(_render(now))
        if not watch or now.runs.settled:
            return
        last = now
        time.sleep(_WATCH_SECONDS)


def _live(reader: _Reader, console: "Console") -> None:
    from rich.live import Live

    now = reader.read()
    with Live(_render(now), console=console, auto_refresh=False) as live:
        while not now.runs.settled:
            time.sleep(_WATCH_SECONDS)
            now = reader.read()
            live.update(_render(now), refresh=True)


def _render(status: _Status) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from ablab.records.run_state import RunState
    from ablab.text.numbers import duration

    now = status.runs
    time_left = "" if now.seconds_left is None else f"; about {duration(now.seconds_left)} left"
    runs = _counts_text(now.runs, "runs")
    lines = [Text(f"{now.study} (revision {now.revision}): {runs}{time_left}")]
    if now.question:
        lines.insert(0, Text(now.question))
    if now.trials is not None:
        lines.append(Text(f"trials: {_counts_text(now.trials, 'trials')}"))
    if now.to_come:
        lines.append(Text(f"to come: {now.to_come}, which the trials decide"))
    if now.may_come:
        lines.append(Text(f"at most {now.may_come} more may follow: verdicts and trials decide"))
    for state in (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED):
        runs_of_state = [run for run in now.ended if run.state == state]
        lines += [Text(_reason(run)) for run in runs_of_state[:_MAX_LINES]]
        if len(runs_of_state) > _MAX_LINES:
            more = len(runs_of_state) - _MAX_LINES
            lines.append(Text(f"{state}: {more} more (--json lists all)"))
    tables = [_table(now.running)] if now.running else []
    if status.jobs:
        lines.append(Text(_jobs_text(status.jobs)))
        unended = [job for job in status.jobs if job.state != "done"]
        tables += [_jobs_table(unended[-_MAX_LINES:])] if unended else []
    return Group(*lines, *tables)


def _jobs_text(jobs: "list[JobStatus]") -> str:
    counts = Counter(job.state for job in jobs)
    return f"jobs: {', '.join(f'{count} {state}' for state, count in counts.items())}"


def _jobs_table(jobs: "list[JobStatus]") -> "Table":
    from rich.markup import escape

    from ablab.text.fitting_table import FittingTable

    table = FittingTable(box=None, padding=(0, 2, 0, 0))
    for name in ("job", "state", "", "log"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        table.add_row(*(escape(cell) for cell in (job.id, job.state, job.detail, str(job.log))))
    return table


def _counts_text(counts: "Counts", unit: str) -> str:
    diverged = f" ({counts.diverged} diverged)" if counts.diverged else ""
    others = [
        f"{getattr(counts, state)} {state}"
        for state in ("running", "waiting", "failed", "cancelled", "pruned")
        if getattr(counts, state)
    ]
    return ", ".join([f"{counts.finished} of {counts.total} {unit} done{diverged}", *others])


def _reason(run: "EndedRun") -> str:
    attempts = f" ({run.attempts} attempts)" if run.attempts > 1 else ""
    return f"{run.state}: {_label(run)}: {run.reason}{attempts}"


def _label(run: "EndedRun | RunningRun") -> str:
    trial = "" if run.trial is None else f"trial {run.trial}: "
    return f"{trial}{run.arm} · seed {run.seed}"


def _table(running: "list[RunningRun]") -> "Table":
    from rich.markup import escape

    from ablab.text.fitting_table import FittingTable

    table = FittingTable(box=None, padding=(0, 2, 0, 0))
    table.add_column("running", overflow="fold")
    table.add_column("where", overflow="fold")
    for name in ("done", "loss", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in running:
        notes = []
        if run.attempts > 0:
            notes.append(f"attempt {run.attempts + 1}")
        if run.stopping:
            notes.append("stopping")
        label = _label(run) + (f" ({', '.join(notes)})" if notes else "")
        progress = "starting" if run.share is None else f"{100 * run.share:.0f} %"
        loss = "–" if run.loss is None else f"{run.loss:.3f}"
        speed = "–" if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}"
        table.add_row(escape(label), escape(run.where), progress, loss, speed)
    return table
