"""The report on a terminal, in 80 columns."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.analysis.summary import Summary
from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS, Metric
from ablab.records.params import parameters
from ablab.report.across_parts import lines as across_lines
from ablab.report.across_parts import listings
from ablab.report.costs import costs_table
from ablab.report.ladder import Listing
from ablab.report.search import searched, survival, trials_listing
from ablab.report.sentences import adjusted, changed_by_tuning, noise, places_of, sentence, word
from ablab.text.numbers import digits, p_value, plain, short, signed
from ablab.text.truncate import some

_TRIALS = 12  # of a search are shown


def print_summary(summary: Summary, console: Console) -> None:
    """Prints the effects, the arms, and what the figures hold for."""
    console.print(
        f"[bold]{escape(summary.study)}[/] (revision {summary.revision})", highlight=False
    )
    if summary.question:
        console.print(f"[italic]{escape(summary.question)}[/]", highlight=False)
    if not summary.complete:
        console.print(
            f"[bold]Unfinished:[/] {summary.finished} of {summary.runs} runs are done.",
            highlight=False,
        )
    for key, reason in list(summary.failed.items())[:5]:
        console.print(f"failed: {key}: {reason}", highlight=False, markup=False)
    for part in summary.parts or [summary]:
        _print_part(summary, part, console)
    for listing in listings(summary.across) if summary.parts else []:
        console.print(listing_table(listing))
    across = across_lines(summary.across) if summary.parts else []
    left_out = some(f"left out: {name}: {reason}" for name, reason in summary.infeasible.items())
    for line in (*across, *survival(summary), *footnotes(summary), *left_out):
        console.print(line, highlight=False, markup=False)


def _print_part(summary: Summary, part: Summary, console: Console) -> None:
    """A part's own figures, under its label; a study without parts is its only one."""
    for line in (*own_lines(summary, part), *verdicts(part)):
        console.print(line, highlight=False, markup=False)
    console.print(effects_table(part))
    console.print(arms_table(part))
    if told := adjusted(part):
        console.print(told, highlight=False, markup=False)
    if any(value is not None for effect in part.effects for value in effect.costs.values()):
        console.print(costs_table(part))
    if part.tuning:
        console.print(tuning_table(part))
    if searched(part):
        trials = trials_listing(part)
        console.print(listing_table(replace(trials, rows=trials.rows[:_TRIALS])))
        if (more := len(trials.rows) - _TRIALS) > 0:
            console.print(f"and {more} more trials (--json tells all)", highlight=False)
    for line in changed_by_tuning(part):
        console.print(line, highlight=False, markup=False)


def verdicts(summary: Summary) -> list[str]:
    """The verdict on each change in a sentence, and what all of them hold for; nothing for a study
    without changes.
    """
    told = [
        sentence(effect, summary.metric)
        for effect in summary.effects
        if effect.kind != "interaction"
    ]
    return [*told, f"All this is {summary.holds_for}."] if told else []


def own_lines(summary: Summary, part: Summary) -> list[str]:
    """A part's label and what holds for it alone; nothing of a study without parts."""
    return ["", part.part, *own_footnotes(summary, part)] if summary.parts else []


def own_footnotes(summary: Summary, part: Summary) -> list[str]:
    """What holds for a part alone: its error term, margin and looks are its own."""
    known = {*footnotes(summary)}
    return [line for line in footnotes(part) if line not in known]


def listing_table(listing: Listing) -> Table:
    """A table of what only the parts together tell."""
    table = Table(title=escape(listing.title), title_justify="left")
    for i, name in enumerate(listing.columns):
        table.add_column(escape(name), overflow="fold", justify="left" if i == 0 else "right")
    for row in listing.rows:
        table.add_row(*map(escape, row))
    return table


def effects_table(summary: Summary) -> Table:
    """Each change's effect on the metric."""
    side = METRICS[summary.metric].pick(lower="below", higher="above")
    table = Table(
        title=f"Effect on {summary.metric} (with minus without; {side} 0 is better)",
        title_justify="left",
    )
    table.add_column("change", overflow="fold", ratio=1)
    for name in ("estimate", "95 % interval", "p (Holm)", "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = None
    for effect in summary.effects:
        if previous is not None and effect.kind != previous:
            table.add_section()
        previous = effect.kind
        places = places_of(effect)
        interval = (
            "–"
            if effect.low is None
            else f"{signed(effect.low, places)} … {signed(effect.high, places)}"
        )
        p = p_value(effect.p_holm)
        table.add_row(
            escape(effect.title), signed(effect.estimate, places), interval, p, word(effect.verdict)
        )
    return table


def arms_table(summary: Summary) -> Table:
    """Each arm's metric and what a run of it cost."""
    table = Table(
        title="Arms (a run's parameters, tokens, FLOPs and training seconds)", title_justify="left"
    )
    table.add_column("arm", overflow="fold", ratio=1)
    for name in (summary.metric, "sd", "n", "params", "tokens", "FLOPs", "sec"):
        table.add_column(name, justify="right", no_wrap=True)
    places = digits(summary.spread)
    for arm in summary.arms:
        table.add_row(
            escape(arm.name),
            arm.told(places),
            plain(arm.sd, places),
            str(arm.n),
            short(arm.parameters),
            short(arm.tokens),
            short(arm.flops),
            plain(arm.seconds, 1),
        )
    return table


def tuning_table(summary: Summary) -> Table:
    """What tuning chose for each arm, what its trials gave, and what says that the best may lie
    outside.
    """
    table = Table(
        title=f"Tuning (each arm's trials and the best of them, {summary.metric})",
        title_justify="left",
    )
    for name in ("arm", "best", "trials", "note"):
        table.add_column(name, overflow="fold")
    for arm in summary.tuning:
        lost = sum(trial.values is None for trial in arm.trials)
        notes = [f"{name} at the edge" for name in arm.edges]
        notes += [f"{lost} without a value"] if lost and arm.best is not None else []
        best = "open" if arm.best is None else parameters(arm.best) or "as the study says"
        table.add_row(
            escape(arm.arm),
            best,
            escape(bowl(arm, METRICS[summary.metric], digits(summary.spread))),
            "; ".join(notes),
        )
    return table


def bowl(arm: ArmTuning, metric: Metric, places: int) -> str:
    """The trials' values in the order of what was tried; in their own order where several options
    were. The best in brackets.
    """
    tried = sorted(arm.trials, key=lambda trial: _place(trial.params))
    values = [trial.values[0] for trial in tried if trial.values is not None]
    best = min(values, key=metric.as_loss, default=None)
    shown = [
        (plain(trial.values[0], places), trial.values[0] == best) if trial.values else ("–", False)
        for trial in tried
    ]
    return " ".join(f"[{value}]" if is_best else value for value, is_best in shown)


def _place(params: Mapping[str, Any]) -> float:
    (value, *others) = params.values()
    return float(value) if isinstance(value, int | float) and not others else 0.0


def footnotes(summary: Summary) -> list[str]:
    """Scope, what the design implies, error term, overhead, and devices."""
    lines = [*summary.scope, *summary.notes]
    lines += noise(summary)
    if drawn := [
        f"{e.name} {e.sampling_se:.2g}" for e in summary.effects if e.sampling_se is not None
    ]:
        lines.append(
            f"standard errors from drawing orders, within the intervals: {', '.join(drawn)}"
        )
    if summary.overhead is not None and summary.wall_seconds is not None:
        lines.append(
            f"time: {summary.wall_seconds:.0f} s on {summary.workers} worker(s); "
            f"{100 * summary.overhead:.0f} % of it was not training or validation"
        )
    if any(interval for effect in summary.effects for interval in effect.cost_intervals.values()):
        lines.append(
            "times are as they came: other work that the machine had is in them, and their "
            "intervals take it for chance"
        )
    return [*lines, *(f"device: {device}" for device in summary.devices)]
