"""The report on a terminal of 80 columns."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.analysis.summary import PartSummary, StudySummary
from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS, Metric
from ablab.records.params import parameters
from ablab.report.across_parts import across_lines, across_listings
from ablab.report.costs import costs_table
from ablab.report.footnotes import footnotes, part_footnotes
from ablab.report.ladder import Listing
from ablab.report.scope import holds_for
from ablab.report.search import is_search, survival, trials_listing
from ablab.report.sentences import (
    adjusted,
    changed_by_tuning,
    interval_cell,
    own_errors,
    places_of,
    sentence,
    word,
)
from ablab.report.tables import mean_text
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import digits, p_value, plain, short, signed
from ablab.text.truncate import some

_MAX_TRIALS = 12  # of a search


def print_heading(summary: StudySummary, console: Console) -> None:
    """Print the study, its question, and what is unfinished or failed."""
    console.print(
        f"[bold]{escape(summary.study)}[/] (revision {summary.revision})", highlight=False
    )
    if summary.question:
        console.print(f"[italic]{escape(summary.question)}[/]", highlight=False)
    progress = summary.progress
    if not progress.complete:
        console.print(
            f"[bold]Unfinished:[/] {progress.finished} of {progress.runs} runs are done.",
            highlight=False,
        )
    for key, reason in list(progress.failed.items())[:5]:
        console.print(f"failed: {key}: {reason}", highlight=False, markup=False)


def print_summary(summary: StudySummary, console: Console) -> None:
    """Print the effects, the arms, and the scope of the results."""
    print_heading(summary, console)
    for part in summary.parts:
        _print_part(summary, part, console)
    for listing in across_listings(summary.across):
        console.print(listing_table(listing))
    infeasible = {name: why for part in summary.parts for name, why in part.infeasible.items()}
    lines = [
        *across_lines(summary),
        *(line for part in summary.parts for line in survival(part)),
        *footnotes(summary),
        *some(f"left out: {name}: {reason}" for name, reason in infeasible.items()),
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _print_part(summary: StudySummary, part: PartSummary, console: Console) -> None:
    """Print the results of a part, below its label if it has one."""
    heading = ["", part.label, *part_footnotes(summary, part)] if part.label else []
    for line in (*heading, *verdicts(part)):
        console.print(line, highlight=False, markup=False)
    console.print(effects_table(part))
    for line in own_errors(part):
        console.print(line, highlight=False, markup=False)
    console.print(arms_table(part))
    console.print(adjusted(part), highlight=False, markup=False, end="\n" if part.uneven else "")
    if any(value is not None for effect in part.effects for value in effect.costs.values()):
        console.print(costs_table(part))
    if part.tuning:
        console.print(tuning_table(part))
    if is_search(part):
        trials = trials_listing(part)
        console.print(listing_table(replace(trials, rows=trials.rows[:_MAX_TRIALS])))
        more = len(trials.rows) - _MAX_TRIALS
        if more > 0:
            console.print(f"and {more} more trials (--json lists all)", highlight=False)
    for line in changed_by_tuning(part):
        console.print(line, highlight=False, markup=False)


def verdicts(part: PartSummary) -> list[str]:
    """Return a sentence with the verdict on each change, and the scope of all."""
    sentences = [
        sentence(effect, part.metric)
        for effect in part.effects_by_size
        if effect.kind != "interaction"
    ]
    return [*sentences, f"All this is {holds_for(part.content)}."] if sentences else []


def listing_table(listing: Listing) -> Table:
    """Return a listing as a table."""
    table = FittingTable(title=escape(listing.title), title_justify="left")
    for i, name in enumerate(listing.columns):
        numbers = i > 0 and all(" " not in row[i] for row in listing.rows)
        justify = "left" if i == 0 else "right"
        table.add_column(escape(name), overflow="fold", justify=justify, no_wrap=numbers)
    for row in listing.rows:
        table.add_row(*map(escape, row))
    return table


def effects_table(summary: PartSummary) -> Table:
    """Return a table of the effects on the metric."""
    side = METRICS[summary.metric].pick(lower="below", higher="above")
    table = FittingTable(
        title=f"Effect on {summary.metric} (with minus without; {side} 0 is better)",
        title_justify="left",
    )
    table.add_column("change", overflow="fold", ratio=1)
    for name in ("estimate", "95 % interval", "p (Holm)", "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = None
    for effect in summary.effects_by_size:
        if previous is not None and effect.kind != previous:
            table.add_section()
        previous = effect.kind
        places = places_of(effect)
        table.add_row(
            escape(effect.title),
            signed(effect.estimate, places),
            interval_cell(effect),
            p_value(effect.p_holm),
            word(effect.verdict),
        )
    return table


def arms_table(summary: PartSummary) -> Table:
    """Return a table of the metric of each arm and the costs of its runs."""
    table = FittingTable(
        title="Arms (a run's parameters, tokens, FLOPs and training seconds)", title_justify="left"
    )
    table.add_column("arm", overflow="fold", ratio=1)
    for name in (summary.metric, "sd", "n", "params", "tokens", "FLOPs", "sec"):
        table.add_column(name, justify="right", no_wrap=True)
    places = digits(summary.spread)
    for arm in summary.arms:
        table.add_row(
            escape(arm.name),
            mean_text(arm, places),
            plain(arm.sd, places),
            str(arm.n),
            short(arm.parameters),
            short(arm.tokens),
            short(arm.flops),
            plain(arm.seconds, 1),
        )
    return table


def tuning_table(summary: PartSummary) -> Table:
    """Return a table of the options chosen for each arm and the values of its trials.

    Notes indicate that the optimum may lie outside of the options tried.
    """
    table = FittingTable(
        title=f"Tuning (each arm's trials and the best of them, {summary.metric})",
        title_justify="left",
    )
    for name in ("arm", "best", "trials", "note"):
        table.add_column(name, overflow="fold")
    for arm in summary.tuning:
        without_value = sum(trial.values is None for trial in arm.trials)
        notes = [f"{name} at the edge" for name in arm.edges]
        if without_value and arm.best is not None:
            notes.append(f"{without_value} without a value")
        best = "open" if arm.best is None else parameters(arm.best) or "as the study says"
        table.add_row(
            escape(arm.arm),
            best,
            escape(trial_values(arm, METRICS[summary.metric], digits(summary.spread))),
            "; ".join(notes),
        )
    return table


def trial_values(arm: ArmTuning, metric: Metric, places: int) -> str:
    """Return the values of the trials of an arm, with the best in brackets.

    They are sorted by the option, or in the order of the trials if there are several options.
    """
    trials = sorted(arm.trials, key=lambda trial: _sort_key(trial.params))
    values = [trial.values[0] if trial.values is not None else None for trial in trials]
    best = min((v for v in values if v is not None), key=metric.as_loss, default=None)
    texts = [plain(value, places) for value in values]
    return " ".join(
        f"[{text}]" if value is not None and value == best else text
        for value, text in zip(values, texts, strict=True)
    )


def _sort_key(params: Mapping[str, Any]) -> float:
    value, *others = params.values()
    if others or not isinstance(value, int | float):
        return 0.0
    return float(value)
