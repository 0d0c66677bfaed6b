"""Sweeps: the metric of the tuning trials of each arm against the option that was tuned first,
which is the learning rate in most studies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any

import numpy as np

from ablab.analysis.lr_surface import LrSurface, surface_of
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
    curves = _sweeps(summary)
    if not curves:
        return None
    metric = METRICS[summary.metric]
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)  # rounded up
    titles = [folded(sweep.arm.arm, 22, 4) for sweep in curves]
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
        for axes, sweep, title in zip(grid.flat, curves, titles, strict=False):
            _draw(axes, sweep, ticks, metric)
            axes.set_title(title, fontsize=7)
        # The lowest panel of each column has tick labels.
        for axes in grid.flat[max(0, len(curves) - columns) : len(curves)]:
            axes.tick_params(labelbottom=True)
        figure.supxlabel(_option(curves[0].arm), fontsize=9, y=0.02)
        figure.supylabel(summary.metric, fontsize=9, x=0.01)
    return Plot(
        "bowls",
        "Tuning",
        f"{summary.metric} of each arm's trials. {_descriptions(curves, metric)}",
        figure,
        _caption(summary, curves),
        _rows(curves, metric),
    )


def _rows(curves: Sequence["_Sweep"], metric: Metric) -> list[dict[str, Any]]:
    """Return the trials, each with the optimum of its arm and the interval that is drawn."""
    rows = []
    for sweep in curves:
        surface = sweep.surface
        interval = surface and surface.interval(sweep.arm.arm)
        low, high = interval or (None, None)
        chosen = {"optimum": sweep.best(metric)[0], "optimum_low": low, "optimum_high": high}
        rows += [
            {"arm": sweep.arm.arm, _option(curves[0].arm): x, metric.name: y, **chosen}
            for x, y in sweep.points
        ]
    return rows


def single_sweeps(summary: PartSummary) -> list[Plot]:
    """Draw a small figure for each arm, on one scale, for a page that arranges them in rows.

    Their titles are the names of the arms, and the first has the caption of all.
    """
    curves = _sweeps(summary)
    if not curves:
        return []
    ys = [y for sweep in curves for _, y in sweep.points]
    ticks = _Ticks.of(curves)
    metric = METRICS[summary.metric]
    plots = []
    for i, sweep in enumerate(curves):
        with bare_drawing(1.35, 2.3) as figure:
            axes = figure.add_axes((0.18, 0.17, 0.78, 0.8))
            _draw(axes, sweep, ticks, metric)
            axes.set_ylim(*reach(ys, ys, 0.08))
        text = f"{summary.metric} by {_option(sweep.arm)}: {_description(sweep, metric)}"
        plots.append(Plot(f"bowl{i}", sweep.arm.arm, text, figure))
    return [replace(plots[0], caption=_caption(summary, curves)), *plots[1:]]


def no_sweep(summary: PartSummary) -> str:
    """Return why a tuned study has no sweep to draw; empty if it has one, or if it is not tuned."""
    if not summary.tuning or _sweeps(summary):
        return ""
    if any(_option(arm) for arm in summary.tuning):
        return "No sweep to draw yet: no arm has values at two points of its tuning."
    return "No sweep to draw: no numeric option was tuned. The table lists all trials."


@dataclass(frozen=True)
class _Sweep:
    """The trials of an arm with their values, in ascending order, and the surface of all arms.

    `surface` is None if the arm is not part of one.
    """

    arm: ArmTuning
    points: Points
    surface: LrSurface | None

    def best(self, metric: Metric) -> tuple[float, float]:
        """Return what is chosen: the optimum of the surface, or the best point without one."""
        if self.surface is None:
            return min(self.points, key=lambda point: metric.as_loss(point[1]))
        lr = self.surface.optimum(self.arm.arm)
        return lr, self.surface.values(self.arm.arm, [lr])[0]


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
    def of(cls, curves: Sequence[_Sweep]) -> "_Ticks":
        """Return the axis for all points of all arms."""
        values = sorted({x for sweep in curves for x, _ in sweep.points})
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


def _draw(axes: Any, sweep: _Sweep, ticks: _Ticks, metric: Metric) -> None:
    line = "o-" if sweep.surface is None else "o"
    axes.plot(*zip(*sweep.points, strict=True), line, color=MUTED, markersize=3, linewidth=1)
    colour, marker = (VERMILION, "^") if sweep.arm.edges else (BLUE, "D")
    if sweep.surface is not None:
        _draw_surface(axes, sweep, ticks, colour)
    axes.plot(*sweep.best(metric), marker, color=colour, markersize=6 if line == "o-" else 4)
    if ticks.log:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(list(ticks.at), list(ticks.at.values()))
    axes.set_xlim(*ticks.limits)
    axes.tick_params(labelsize=8)


def _draw_surface(axes: Any, sweep: _Sweep, ticks: _Ticks, colour: str) -> None:
    """Draw the parabola of an arm as far as its points reach, and the interval of its optimum."""
    assert sweep.surface is not None
    low, high = ticks.limits
    xs = np.geomspace(low, high, 200)
    ys = np.array(sweep.surface.values(sweep.arm.arm, xs.tolist()))
    values = [y for _, y in sweep.points]
    lowest, highest = reach(values, values, 0.1)
    inside = (ys >= lowest) & (ys <= highest)
    axes.plot(np.where(inside, xs, np.nan), ys, color=colour, linewidth=1)
    interval = sweep.surface.interval(sweep.arm.arm)
    if interval is not None:
        axes.axvspan(*np.clip(interval, low, high), color=colour, alpha=0.2, linewidth=0)


def _sweeps(summary: PartSummary) -> list[_Sweep]:
    """Return the arms with values at two points at least."""
    surface = surface_of(summary.content.study, summary.tuning)
    sweeps = [
        _Sweep(arm, _points(arm), surface if surface and arm.arm in surface.arms else None)
        for arm in summary.tuning
    ]
    several = [s for s in sweeps if s.points and s.points[0][0] < s.points[-1][0]]
    return several[:_MAX_ARMS]


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


def _caption(summary: PartSummary, curves: Sequence[_Sweep]) -> str:
    omitted = len(summary.tuning) - len(curves)
    more = f" {omitted} more arms are in the table." if omitted > 0 else ""
    fitted = any(sweep.surface is not None for sweep in curves)
    marks = "The best is a blue diamond, or an orange triangle at an edge of the range."
    if fitted:
        marks = (
            "Points are trials, the curve is the response surface with one curvature for all arms, "
            "and the band is the 95 % interval of its optimum: a blue diamond, or an "
            "orange triangle at an edge of the trials."
        )
    return f"{summary.metric} by {_option(curves[0].arm)}. {marks}{more}"


def _description(sweep: _Sweep, metric: Metric) -> str:
    x, y = sweep.best(metric)
    edge = ", at an edge of the range" if sweep.arm.edges else ""
    interval = sweep.surface and sweep.surface.interval(sweep.arm.arm)
    between = f" (95 % interval {interval[0]:.3g} to {interval[1]:.3g})" if interval else ""
    return f"best {y:.4g} at {x:.3g}{between}{edge}"


def _descriptions(curves: Sequence[_Sweep], metric: Metric) -> str:
    return "; ".join(f"{sweep.arm.arm}: {_description(sweep, metric)}" for sweep in curves) + "."
