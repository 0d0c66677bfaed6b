"""`ablab status`: how a study stands, once or as it goes on."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.options import HomeDir, Json, Profile, StudyName
from ablab.cli.studies import study_record

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from ablab.records.status import Counts, EndedRun, RunningRun, StatusReader, StudyStatus

_WATCH_SECONDS = 2.0
_SHOWN = 20  # lines of a kind; --json tells all


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

    from ablab.records.status import StatusReader

    reader = StatusReader(study_record(study, profile, None, home))
    console = Console(highlight=False)
    try:
        if watch and console.is_terminal and not as_json:
            _live(reader, console)
        else:
            _plain(reader, console, watch=watch, as_json=as_json)
    except KeyboardInterrupt:  # typer would say "Aborted!"
        sys.exit(130)


def _plain(reader: "StatusReader", console: "Console", *, watch: bool, as_json: bool) -> None:
    """Prints it; with `watch` again whenever it changed."""
    last = None
    while True:
        now = reader.read()
        if now != last:
            if as_json:
                print(json.dumps(now.as_dict(), indent=None if watch else 1), flush=True)
            else:
                console.print(_shown(now))
        if not watch or now.settled:
            return
        last = now
        time.sleep(_WATCH_SECONDS)


def _live(reader: "StatusReader", console: "Console") -> None:
    from rich.live import Live

    now = reader.read()
    with Live(_shown(now), console=console, auto_refresh=False) as live:
        while not now.settled:
            time.sleep(_WATCH_SECONDS)
            now = reader.read()
            live.update(_shown(now), refresh=True)


def _shown(now: "StudyStatus") -> "Group":
    from rich.console import Group
    from rich.text import Text

    from ablab.records.run_state import RunState
    from ablab.text.numbers import duration

    left = "" if now.seconds_left is None else f"; about {duration(now.seconds_left)} left"
    lines = [Text(f"{now.study} (revision {now.revision}): {_counted(now.runs, 'runs')}{left}")]
    if now.question:
        lines.insert(0, Text(now.question))
    if now.trials is not None:
        lines.append(Text(f"trials: {_counted(now.trials, 'trials')}"))
    if now.to_come:
        lines.append(Text(f"to come: {now.to_come}, which the trials decide"))
    if now.may_come:
        lines.append(Text(f"at most {now.may_come} more may follow: verdicts and trials decide"))
    for state in (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED):
        these = [run for run in now.ended if run.state == state]
        lines += [Text(_why(run)) for run in these[:_SHOWN]]
        if len(these) > _SHOWN:
            lines.append(Text(f"{state}: {len(these) - _SHOWN} more (--json tells all)"))
    return Group(*lines, *([_table(now.running)] if now.running else []))


def _counted(counts: "Counts", what: str) -> str:
    diverged = f" ({counts.diverged} diverged)" if counts.diverged else ""
    rest = [
        f"{n} {name}"
        for name in ("running", "waiting", "failed", "cancelled", "pruned")
        if (n := getattr(counts, name))
    ]
    return ", ".join([f"{counts.finished} of {counts.total} {what} done{diverged}", *rest])


def _why(run: "EndedRun") -> str:
    attempts = f" ({run.attempts} attempts)" if run.attempts > 1 else ""
    return f"{run.state}: {_label(run)}: {run.reason}{attempts}"


def _label(run: "EndedRun | RunningRun") -> str:
    trial = "" if run.trial is None else f"trial {run.trial}: "
    return f"{trial}{run.arm} · seed {run.seed}"


def _table(running: "list[RunningRun]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("running", overflow="fold")
    table.add_column("where", overflow="fold")
    for name in ("done", "loss", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in running:
        done = "starting" if run.share is None else f"{100 * run.share:.0f} %"
        notes = [f"attempt {run.attempts + 1}"] * (run.attempts > 0) + ["stopping"] * run.stopping
        label = _label(run) + (f" ({', '.join(notes)})" if notes else "")
        loss = "–" if run.loss is None else f"{run.loss:.3f}"
        speed = "–" if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}"
        table.add_row(escape(label), escape(run.where), done, loss, speed)
    return table
