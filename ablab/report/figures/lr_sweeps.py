"""Sweeps: the metric of the tuning trials of each arm against the option that was tuned first,
which is the learning rate in most studies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any

from ablab.analysis.summary import PartSummary
from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS, Metric
from ablab.report.figures.canvas import BLUE, MUTED, VERMILION, Plot, bare_drawing, folded, reach
from ablab.text.numbers import exact

_MAX_ARMS = 24  # the table lists all
_COLUMNS = 3
_LETTER_WIDTH = 0.06  # of a tick label, as a share of the axis
# (value of the option, value of the metric)
Points = list[tuple[float, float]]


def sweeps(summary: PartSummary) -> Plot | None:
    """Draw all sweeps in one figure, on one scale, for a file; None if there are none."""
    curves = _curves(summary)
    if not curves:
        return None
    metric = METRICS[summary.metric]
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)  # rounded up
    titles = [folded(arm.arm, 22, 4) for arm, _ in curves]
    # Inches above each panel, for its title.
    room = 0.14 * (1 + max(title.count("\n") + 1 for title in titles))
    height = 0.5 + rows * (1 + room) + (rows - 1) * 0.15
    ticks = _Ticks.of(curves)
    with bare_drawing(height) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(
            0.13, 0.5 / height, 0.95, 1 - room / height, wspace=0.3, hspace=room + 0.15
        )
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (arm, points), title in zip(grid.flat, curves, titles, strict=False):
            _draw(axes, arm, points, ticks, metric)
            axes.set_title(title, fontsize=7)
        # The lowest panel of each column has tick labels.
        for axes in grid.flat[max(0, len(curves) - columns) : len(curves)]:
            axes.tick_params(labelbottom=True)
        figure.supxlabel(_option(curves[0][0]), fontsize=9, y=0.02)
        figure.supylabel(summary.metric, fontsize=9, x=0.01)
    return Plot(
        "bowls",
        "Tuning",
        f"{summary.metric} of each arm's trials. {_descriptions(curves, metric)}",
        figure,
        _caption(summary, curves),
    )


def single_sweeps(summary: PartSummary) -> list[Plot]:
    """Draw a small figure for each arm, on one scale, for a page that arranges them in rows.

    Their titles are the names of the arms, and the first has the caption of all.
    """
    curves = _curves(summary)
    if not curves:
        return []
    ys = [y for _, points in curves for _, y in points]
    ticks = _Ticks.of(curves)
    metric = METRICS[summary.metric]
    plots = []
    for i, (arm, points) in enumerate(curves):
        with bare_drawing(1.35, 2.3) as figure:
            axes = figure.add_axes((0.18, 0.17, 0.78, 0.8))
            _draw(axes, arm, points, ticks, metric)
            axes.set_ylim(*reach(ys, ys, 0.08))
        text = f"{summary.metric} by {_option(arm)}: {_description(arm, points, metric)}"
        plots.append(Plot(f"bowl{i}", arm.arm, text, figure))
    return [replace(plots[0], caption=_caption(summary, curves)), *plots[1:]]


def no_sweep(summary: PartSummary) -> str:
    """Return why a tuned study has no sweep to draw; empty if it has one, or if it is not tuned."""
    if not summary.tuning or _curves(summary):
        return ""
    if any(_option(arm) for arm in summary.tuning):
        return "No sweep to draw yet: no arm has values at two points of its tuning."
    return "No sweep to draw: no numeric option was tuned. The table lists all trials."


@dataclass(frozen=True)
class _Ticks:
    """The x axis of all arms. It is logarithmic (`log`) if all values are above zero.

    `at` maps positions to labels: those of the lowest, the middle (if there is room) and the
    highest value. `limits` are those of the axis.
    """

    log: bool
    at: dict[float, str]
    limits: tuple[float, float]

    @classmethod
    def of(cls, curves: "Sequence[tuple[ArmTuning, Points]]") -> "_Ticks":
        """Return the axis for all points of all arms."""
        values = sorted({x for _, points in curves for x, _ in points})
        low = values[0]
        high = values[-1]
        log = low > 0
        chosen = list(dict.fromkeys((low, values[len(values) // 2], high)))
        labels = _labels(chosen)
        room = _LETTER_WIDTH * max(map(len, labels))

        def free(x: float) -> bool:
            if x in (low, high):
                return True
            share = log10(x / low) / log10(high / low) if log else (x - low) / (high - low)
            return room < share < 1 - room

        at = {float(label): label for x, label in zip(chosen, labels, strict=True) if free(x)}
        limits = (low / 1.2, high * 1.2) if log else reach(values, values)
        return cls(log, at, limits)


def _labels(chosen: Sequence[float]) -> list[str]:
    """Return labels with three significant digits, or exact ones if those would be equal."""
    labels = [f"{x:.3g}" for x in chosen]
    if len(set(labels)) < len(chosen):
        labels = [exact(x) for x in chosen]
    return [label.replace("e-0", "e-").replace("e+0", "e") for label in labels]


def _draw(axes: Any, arm: ArmTuning, points: Points, ticks: _Ticks, metric: Metric) -> None:
    axes.plot(*zip(*points, strict=True), "o-", color=MUTED, markersize=3, linewidth=1)
    colour, marker = (VERMILION, "^") if arm.edges else (BLUE, "D")
    axes.plot(*_best(points, metric), marker, color=colour, markersize=6)
    if ticks.log:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(list(ticks.at), list(ticks.at.values()))
    axes.set_xlim(*ticks.limits)
    axes.tick_params(labelsize=8)


def _curves(summary: PartSummary) -> list[tuple[ArmTuning, Points]]:
    """Return the arms with values at two points at least, with their points in ascending order."""
    every = [(arm, _points(arm)) for arm in summary.tuning]
    curves = [(arm, points) for arm, points in every if points and points[0][0] < points[-1][0]]
    return curves[:_MAX_ARMS]


def _points(arm: ArmTuning) -> Points:
    name = _option(arm)
    return sorted(
        (float(t.params[name]), t.values[0]) for t in arm.trials if name and t.values is not None
    )


def _option(arm: ArmTuning) -> str:
    """Return the first option that has a number in every trial; empty if there is none."""
    trials = [trial.params for trial in arm.trials]
    names = trials[0] if trials else ()
    numeric = (name for name in names if all(_is_number(params.get(name)) for params in trials))
    return next(numeric, "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _caption(summary: PartSummary, curves: Sequence[Any]) -> str:
    omitted = len(summary.tuning) - len(curves)
    more = f" {omitted} more arms are in the table." if omitted > 0 else ""
    arm = curves[0][0]
    marks = "The best is a blue diamond, or an orange triangle at an edge of the range."
    return f"{summary.metric} by {_option(arm)}. {marks}{more}"


def _best(points: Points, metric: Metric) -> tuple[float, float]:
    return min(points, key=lambda point: metric.as_loss(point[1]))


def _description(arm: ArmTuning, points: Points, metric: Metric) -> str:
    x, y = _best(points, metric)
    edge = ", at an edge of the range" if arm.edges else ""
    return f"best {y:.4g} at {x:.3g}{edge}"


def _descriptions(curves: Sequence[tuple[ArmTuning, Points]], metric: Metric) -> str:
    return (
        "; ".join(f"{arm.arm}: {_description(arm, points, metric)}" for arm, points in curves) + "."
    )
