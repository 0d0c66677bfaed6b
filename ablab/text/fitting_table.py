"""Tables for terminals of any width."""

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

_FOLDED_WIDTH = 8  # the least width of a column whose cells may be folded


class FittingTable(Table):
    """A table that lists its rows below each other where a terminal is too narrow for its columns.

    Cells of columns with `no_wrap`, such as numbers, are never cut. Others are folded.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table, or its rows as lists of headers and values."""
        if self._least_width() <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        if self.title:
            yield Text.from_markup(str(self.title), style="italic", overflow="fold")
        for row in zip(*(column.cells for column in self.columns), strict=True):
            for number, (column, cell) in enumerate(zip(self.columns, row, strict=True)):
                header = f"  {column.header}: " if number and column.header else "  " * bool(number)
                yield Text.from_markup(f"{header}{cell}", overflow="fold")

    def _least_width(self) -> int:
        """Return the number of characters without which a cell would be cut."""
        widths = (
            _width(column) if column.no_wrap else min(_FOLDED_WIDTH, _width(column))
            for column in self.columns
        )
        return sum(widths) + 3 * len(self.columns) + 1  # padding and borders


def _width(column: Column) -> int:
    texts = (column.header, *column.cells)
    return max(cell_len(Text.from_markup(str(text)).plain) for text in texts)
