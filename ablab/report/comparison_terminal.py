"""Two studies side by side on a terminal, in 80 columns."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.analysis.comparison import Comparison
from ablab.report.comparison import CAUTION, verdict_cells


def print_comparison(found: Comparison, console: Console) -> None:
    """What differs, then what is not compared, then the verdicts and the caution that goes with
    them.
    """
    for name, summary in zip(found.names, found.studies, strict=True):
        progress = summary.progress
        state = ""
        if not progress.complete:
            state = f" (unfinished: {progress.finished} of {progress.runs} runs)"
        console.print(f"{name}: {summary.question}{state}", highlight=False, markup=False)
    settings = Table(title="What differs between the studies", title_justify="left")
    for name in ("setting", *found.names):
        settings.add_column(escape(name), overflow="fold")
    for row in found.differences:
        settings.add_row(escape(row.setting), escape(row.first), escape(row.second))
    console.print(
        settings if found.differences else "the study files say the same", highlight=False
    )
    for line in found.notes:
        console.print(line, highlight=False, markup=False)
    if found.effects:
        console.print(_effects(found))
        console.print(CAUTION, highlight=False, markup=False)


def _effects(found: Comparison) -> Table:
    table = Table(
        title=f"Effect on {found.parts[0].metric} (with minus without)", title_justify="left"
    )
    table.add_column("change", overflow="fold", ratio=1)
    for name in found.names:
        table.add_column(escape(name), justify="right", overflow="fold", max_width=14)
        table.add_column("verdict", no_wrap=True)
    for pair in found.effects:
        (a, _, first), (b, _, second) = verdict_cells(pair.first), verdict_cells(pair.second)
        table.add_row(escape(pair.name), a, first, b, second)
    return table
