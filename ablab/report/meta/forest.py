"""A forest plot in characters: one line for each setting, and one for their mean."""

from rich.markup import escape
from rich.table import Table

from ablab.evidence.pooling import ChangeEvidence
from ablab.report.meta.settings import differing, setting_label
from ablab.text.axis import Axis
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import interval_digits, signed

MIN_WIDTH, MAX_WIDTH = 17, 41
_FIXED = 62  # columns of a terminal that labels and figures take


def axis_of(evidence: ChangeEvidence, width: int) -> Axis:
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
    return Axis(low, high, width)


def forest_table(evidence: ChangeEvidence, terminal_width: int) -> Table:
    """Return the forest plot of a change as a table that fits a terminal."""
    width = min(MAX_WIDTH, max(MIN_WIDTH, terminal_width - _FIXED))
    axis = axis_of(evidence, width)
    places = interval_digits(axis.low, axis.high)
    side = evidence.metric.pick(lower="below", higher="above")
    title = f"{evidence.change}: effect on {evidence.metric.name} by setting ({side} 0 is better)"
    table = FittingTable(title=escape(title), title_justify="left")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("setting", overflow="fold", ratio=1)
    table.add_column(f"{signed(axis.low, places)} … {signed(axis.high, places)}", no_wrap=True)
    table.add_column("effect, 95 %", justify="right", no_wrap=True)
    labels = differing([result.setting for result in evidence.settings])
    for number, (result, aspects) in enumerate(zip(evidence.settings, labels, strict=True), 1):
        name = result.contrasts[0].origin.study
        label = setting_label(aspects)
        table.add_row(
            str(number),
            escape(f"{name}: {label}" if label else name),
            axis.line(result.low, result.estimate, result.high),
            _figures(result.estimate, result.low, result.high),
        )
    _add_mean(table, evidence, axis)
    return table


def _add_mean(table: Table, evidence: ChangeEvidence, axis: Axis) -> None:
    pooled = evidence.pooled
    if pooled.clusters < 2:
        return
    table.add_section()
    table.add_row(
        "",
        "mean of settings",
        axis.line(pooled.low, pooled.estimate, pooled.high, "─◆"),
        _figures(pooled.estimate, pooled.low, pooled.high),
    )
    if pooled.prediction is not None:
        low, high = pooled.prediction
        table.add_row(
            "",
            "a new setting",
            axis.line(low, pooled.estimate, high, "┄◇"),
            _figures(pooled.estimate, low, high),
        )


def _figures(estimate: float, low: float, high: float) -> str:
    places = interval_digits(low, high)
    ends = f"{signed(low, places)} … {signed(high, places)}"
    return f"{signed(estimate, places)}\n{ends}"
