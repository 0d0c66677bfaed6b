"""The answer to a study on one screen of the terminal, at the end of `ablab run`."""

import shlex

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.metrics import METRICS
from ablab.report.across_parts import turning_effects
from ablab.report.costs import short_ratio
from ablab.report.nuisance import depending
from ablab.report.scope import holds_for
from ablab.report.search import is_search
from ablab.report.sentences import interval_cell, places_of, word
from ablab.report.terminal import print_heading, print_summary
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import signed

# Two of the costs fit beside the effects; `ablab report` has all.
_COSTS = {"seconds_per_token": "time", "parameters": "params"}


def print_answer(summary: StudySummary, console: Console, home_option: str = "") -> None:
    """Print one line for each change, what it holds for, and where the rest is.

    A search has no such lines, nor has a study without an effect: these are printed as a whole.
    `home_option` is what commands need to find the study.
    """
    parts = [part for part in summary.parts if part.effects]
    if not parts or any(is_search(part) for part in parts):
        print_summary(summary, console)
        return
    print_heading(summary, console)
    for part in parts:
        console.print(answer_table(part))
        for line in _lines(part):
            console.print(line, highlight=False, markup=False)
    for line in [*turning_effects(summary), *_closing(summary, home_option)]:
        console.print(line, highlight=False, markup=False)


def answer_table(part: PartSummary) -> Table:
    """Return a table of the changes and totals, the largest effect first."""
    side = METRICS[part.metric].pick(lower="below", higher="above")
    title = f"Effect on {part.metric}: with minus without, {side} 0 is better"
    table = FittingTable(
        title=escape(f"{part.label}: {title}" if part.label else title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("change", overflow="fold", ratio=1)
    for name in ("effect", "95 % interval", "verdict", *_COSTS.values()):
        table.add_column(name, justify="right", no_wrap=True)
    for kind in ("change", "total"):
        for effect in (effect for effect in part.effects_by_size if effect.kind == kind):
            table.add_row(*_row(effect))
    return table


def _row(effect: EffectSummary) -> list[str]:
    places = places_of(effect)
    costs = [short_ratio(name, effect.ratios.get(name)) for name in _COSTS]
    return [
        escape(effect.name),
        signed(effect.estimate, places),
        interval_cell(effect),
        word(effect.verdict),
        *costs,
    ]


def _lines(part: PartSummary) -> list[str]:
    """Return what the verdicts depend on, and what they hold for."""
    lines = [
        f"{effect.name} {depending(effect, places_of(effect))}"
        for effect in part.effects_by_size
        if effect.verdict == "depends"
    ]
    lines.append(f"All this is {holds_for(part.content)}.")
    noise = []
    if part.sd is not None:
        noise.append(f"run-to-run sd {part.sd:.2g}")
    if part.margin is not None:
        noise.append(f"equivalent means within ±{part.margin:.2g}")
    return [*lines, "; ".join(noise)] if noise else lines


def _closing(summary: StudySummary, home_option: str) -> list[str]:
    lines = []
    if summary.time is not None and summary.wall_seconds is not None:
        lines.append(
            f"{summary.progress.runs} runs, {summary.wall_seconds / 60:.1f} min on "
            f"{summary.workers} worker(s): {summary.time.training:.0%} training, "
            f"{summary.time.validation:.0%} validation".replace("%", " %")
        )
    command = f"ablab report {shlex.quote(summary.study)}{home_option}"
    lines.append(f"interactions, arms, costs and checks: {command} (--open for the page)")
    return lines
