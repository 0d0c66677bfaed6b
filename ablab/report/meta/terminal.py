"""The evidence on changes on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.evidence.conflicts import conflict_in
from ablab.evidence.follow_up import follow_up
from ablab.evidence.pooling import ChangeEvidence
from ablab.report.meta.forest import forest_table
from ablab.report.meta.sentences import (
    conflict_lines,
    dependence_lines,
    mean_text,
    sentence,
    span,
    spread_text,
    verdict_counts,
)
from ablab.report.meta.settings import common, setting_label
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import interval_digits


def print_change(evidence: ChangeEvidence, console: Console) -> None:
    """Print the sentence, the forest plot, and what the figures rest on."""
    _print(console, sentence(evidence))
    console.print(forest_table(evidence, console.width))
    same = setting_label(common([result.setting for result in evidence.settings]))
    which = "all settings" if len(evidence.settings) > 1 else "the setting"
    lines = [spread_text(evidence), *dependence_lines(evidence)]
    for line in filter(None, [*lines, f"{which}: {same}" if same else ""]):
        _print(console, line)
    _print_conflict(evidence, console)


def _print_conflict(evidence: ChangeEvidence, console: Console) -> None:
    conflict = conflict_in(evidence)
    if conflict is None:
        return
    for line in conflict_lines(conflict):
        _print(console, line)
    study = follow_up(conflict)
    if study is None:
        _print(console, "No single study can vary one of these factors.")
        return
    _print(console, "This study would test it (--study FILE writes it):\n")
    # Lines that the terminal wraps by itself can be copied as a study file.
    console.print(study.text, highlight=False, markup=False, soft_wrap=True)


def print_overview(evidence: Sequence[ChangeEvidence], console: Console) -> None:
    """Print one line for each change, and the conflicts."""
    console.print(overview_table(evidence))
    for each in evidence:
        conflict = conflict_in(each)
        for line in conflict_lines(conflict) if conflict else ():
            _print(console, line)
    _print(console, "a forest plot and the settings of a change: ablab evidence CHANGE")


def overview_table(evidence: Sequence[ChangeEvidence]) -> Table:
    """Return a table of the mean and the prediction of each change."""
    metric = evidence[0].metric
    side = metric.pick(lower="below", higher="above")
    table = FittingTable(
        title=escape(f"Evidence on {metric.name} (with minus without; {side} 0 is better)"),
        title_justify="left",
    )
    table.add_column("change", overflow="fold", ratio=1)
    table.add_column("settings", overflow="fold", justify="right", ratio=1)
    for name in ("mean, 95 %", "new setting, 95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in evidence:
        table.add_row(escape(each.change), *overview_cells(each))
    return table


def overview_cells(evidence: ChangeEvidence) -> list[str]:
    """Return the verdicts on a change, its mean, and its prediction."""
    prediction = "–"
    if evidence.pooled.prediction is not None:
        low, high = evidence.pooled.prediction
        prediction = span(low, high, interval_digits(low, high))
    return [verdict_counts(evidence), mean_text(evidence), prediction]


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False)
