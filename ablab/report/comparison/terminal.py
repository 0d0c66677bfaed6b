"""Two studies side by side on a terminal of 80 columns."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.analysis.comparison import Comparison
from ablab.report.comparison.page import CAUTION, verdict_cells
from ablab.text.fitting_table import FittingTable


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the settings that differ, what is not compared, and the verdicts with a caution."""
    for name, summary in zip(comparison.names, comparison.studies, strict=True):
        progress = summary.progress
        state = ""
        if not progress.complete:
            state = f" (unfinished: {progress.finished} of {progress.runs} runs)"
        console.print(f"{name}: {summary.question}{state}", highlight=False, markup=False)
    settings = FittingTable(title="What differs between the studies", title_justify="left")
    for name in ("setting", *comparison.names):
        settings.add_column(escape(name), overflow="fold")
    for row in comparison.differences:
        settings.add_row(escape(row.setting), escape(row.first), escape(row.second))
    console.print(
        settings if comparison.differences else "the study files say the same", highlight=False
    )
    for line in comparison.notes:
        console.print(line, highlight=False, markup=False)
    if comparison.effects:
        console.print(_effects(comparison))
        console.print(CAUTION, highlight=False, markup=False)


def _effects(comparison: Comparison) -> Table:
    table = FittingTable(
        title=f"Effect on {comparison.parts[0].metric} (with minus without)", title_justify="left"
    )
    table.add_column("change", overflow="fold", ratio=1)
    for name in comparison.names:
        table.add_column(escape(name), justify="right", overflow="fold", max_width=14)
        table.add_column("verdict", no_wrap=True)
    for pair in comparison.effects:
        first, _, first_verdict = verdict_cells(pair.first)
        second, _, second_verdict = verdict_cells(pair.second)
        table.add_row(escape(pair.name), first, first_verdict, second, second_verdict)
    return table
