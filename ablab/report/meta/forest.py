"""A forest plot in characters: one line for each setting, and one for their mean."""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from ablab.evidence.pooling import ChangeEvidence
from ablab.report.meta.sentences import places_of
from ablab.report.meta.settings import differing, setting_label
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import signed

MIN_WIDTH, MAX_WIDTH = 17, 41
_FIXED = 62  # columns of a terminal that labels and figures take


@dataclass(frozen=True)
class Scale:
    """An axis of a number of characters."""

    low: float
    """Value at its first character."""
    high: float
    """Value at its last."""
    width: int
    """Number of characters."""

    def column(self, value: float) -> int:
        """Return the character that a value falls on, the nearest for one beyond the axis."""
        share = (value - self.low) / (self.high - self.low)
        return min(self.width - 1, max(0, round(share * (self.width - 1))))

    def line(self, low: float, value: float, high: float, marks: str = "─●") -> str:
        """Return an interval with its estimate; `│` is zero."""
        stroke, point = marks
        cells = [" "] * self.width
        for column in range(self.column(low), self.column(high) + 1):
            cells[column] = stroke
        if self.low <= 0 <= self.high:
            zero = self.column(0.0)
            cells[zero] = "│" if cells[zero] == " " else "┼"
        if low < self.low:
            cells[0] = "‹"
        if high > self.high:
            cells[-1] = "›"
        cells[self.column(value)] = point
        return "".join(cells)


def scale_of(evidence: ChangeEvidence, width: int) -> Scale:
    """Return the axis that holds zero and the intervals of all settings and of their mean.

    It ends at twice the range of the settings, where an interval of the mean is wider.
    """
    lows = [result.low for result in evidence.settings]
    highs = [result.high for result in evidence.settings]
    low, high = min(0.0, *lows), max(0.0, *highs)
    room = (high - low) / 2
    pooled = evidence.pooled
    low = max(low - room, min(low, pooled.low))
    high = min(high + room, max(high, pooled.high))
    return Scale(low, high, width)


def forest_table(evidence: ChangeEvidence, terminal_width: int) -> Table:
    """Return the forest plot of a change as a table that fits a terminal."""
    width = min(MAX_WIDTH, max(MIN_WIDTH, terminal_width - _FIXED))
    scale = scale_of(evidence, width)
    places = places_of(scale.low, scale.high)
    side = evidence.metric.pick(lower="below", higher="above")
    title = f"{evidence.change}: effect on {evidence.metric.name} by setting ({side} 0 is better)"
    table = FittingTable(title=escape(title), title_justify="left")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("setting", overflow="fold", ratio=1)
    table.add_column(f"{signed(scale.low, places)} … {signed(scale.high, places)}", no_wrap=True)
    table.add_column("effect, 95 %", justify="right", no_wrap=True)
    labels = differing([result.setting for result in evidence.settings])
    for number, (result, aspects) in enumerate(zip(evidence.settings, labels, strict=True), 1):
        name = result.contrasts[0].origin.study
        label = setting_label(aspects)
        table.add_row(
            str(number),
            escape(f"{name}: {label}" if label else name),
            scale.line(result.low, result.estimate, result.high),
            _figures(result.estimate, result.low, result.high),
        )
    _add_mean(table, evidence, scale)
    return table


def _add_mean(table: Table, evidence: ChangeEvidence, scale: Scale) -> None:
    pooled = evidence.pooled
    if pooled.clusters < 2:
        return
    table.add_section()
    table.add_row(
        "",
        "mean of settings",
        scale.line(pooled.low, pooled.estimate, pooled.high, "─◆"),
        _figures(pooled.estimate, pooled.low, pooled.high),
    )
    if pooled.prediction is not None:
        low, high = pooled.prediction
        table.add_row(
            "",
            "a new setting",
            scale.line(low, pooled.estimate, high, "┄◇"),
            _figures(pooled.estimate, low, high),
        )


def _figures(estimate: float, low: float, high: float) -> str:
    places = places_of(low, high)
    ends = f"{signed(low, places)} … {signed(high, places)}"
    return f"{signed(estimate, places)}\n{ends}"
