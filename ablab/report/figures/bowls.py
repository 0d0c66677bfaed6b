"""What each arm's trials gave: bowls over what was tuned first."""

from collections.abc import Sequence
from dataclasses import replace
from textwrap import fill
from typing import Any

from ablab.report.figures.canvas import BLUE, MUTED, VERMILION, Plot, bare_drawing, reach
from ablab.report.summary import Summary
from ablab.report.trials import ArmTuning

_MOST = 24  # arms: the table has all
_ACROSS = 3
Points = list[tuple[float, float]]


def bowls(summary: Summary) -> Plot | None:
    """All bowls in one figure, on one scale: for a file."""
    curves = _curves(summary)
    if not curves:
        return None
    across = min(_ACROSS, len(curves))
    down = -(-len(curves) // across)
    height = 1.55 * down + 0.5
    with bare_drawing(height) as figure:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(0.13, 0.5 / height, 0.98, 1 - 0.4 / height, wspace=0.12, hspace=0.55)
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (arm, points) in zip(grid.flat, curves, strict=False):
            _bowl(axes, arm, points)
            axes.set_title(fill(arm.arm, 24), fontsize=7)
        for axes in grid.flat[max(0, len(curves) - across) : len(curves)]:  # the lowest of each column
            axes.tick_params(labelbottom=True)
        figure.supxlabel(_option(curves[0][0]), fontsize=9, y=0.02)
        figure.supylabel(summary.metric, fontsize=9, x=0.01)
    return Plot("bowls", "Tuning", f"{summary.metric} of each arm's trials. {_all(curves)}", figure, _caption(summary, curves))


def single_bowls(summary: Summary) -> list[Plot]:
    """A small figure an arm, on one scale: for a page, which sets as many in a row as there is room for. Titles are arms."""
    curves = _curves(summary)
    if not curves:
        return []
    xs, ys = ([point[axis] for _, points in curves for point in points] for axis in (0, 1))
    made = []
    for i, (arm, points) in enumerate(curves):
        with bare_drawing(1.35, 2.3) as figure:
            axes = figure.add_axes((0.18, 0.17, 0.78, 0.8))
            _bowl(axes, arm, points)
            axes.set_xlim(*((min(xs) / 1.2, max(xs) * 1.2) if min(xs) > 0 else reach(xs, xs)))
            axes.set_ylim(*reach(ys, ys, 0.08))
        made.append(Plot(f"bowl{i}", arm.arm, f"{summary.metric} by {_option(arm)}: {_told(arm, points)}", figure))
    return [replace(made[0], caption=_caption(summary, curves)), *made[1:]]


def _bowl(axes: Any, arm: ArmTuning, points: Points) -> None:
    axes.plot(*zip(*points, strict=True), "o-", color=MUTED, markersize=3, linewidth=1)
    colour, marker = (VERMILION, "^") if arm.edges else (BLUE, "D")
    axes.plot(*min(points, key=lambda point: point[1]), marker, color=colour, markersize=6)
    if points[0][0] > 0:
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(*_ticks(points))
    axes.tick_params(labelsize=8)


def _ticks(points: Points) -> tuple[list[float], list[str]]:
    """The lowest, the middle and the highest that was tried."""
    tried = sorted({x for x, _ in points})
    chosen = list(dict.fromkeys((tried[0], tried[len(tried) // 2], tried[-1])))
    return chosen, [f"{x:.1g}".replace("e-0", "e-") for x in chosen]


def _curves(summary: Summary) -> list[tuple[ArmTuning, Points]]:
    every = [(arm, _points(arm)) for arm in summary.tuning]
    return [(arm, points) for arm, points in every if points and points[0][0] < points[-1][0]][:_MOST]


def _points(arm: ArmTuning) -> Points:
    name = _option(arm)
    found = [(t.params.get(name), t.values[0]) for t in arm.trials if t.values is not None]
    return sorted((float(x), y) for x, y in found if isinstance(x, int | float))


def _option(arm: ArmTuning) -> str:
    return next(iter(arm.trials[0].params), "") if arm.trials else ""


def _caption(summary: Summary, curves: Sequence[Any]) -> str:
    left = len(summary.tuning) - len(curves)
    more = f" {left} more arms are in the table." if left > 0 else ""
    arm = curves[0][0]
    marks = "The best is a blue diamond, or an orange triangle at an edge of what was tried."
    return f"{summary.metric} by {_option(arm)}. {marks}{more}"


def _told(arm: ArmTuning, points: Points) -> str:
    x, y = min(points, key=lambda point: point[1])
    return f"best {y:.4g} at {x:.3g}" + (", at the edge of what was tried" if arm.edges else "")


def _all(curves: Sequence[tuple[ArmTuning, Points]]) -> str:
    return "; ".join(f"{arm.arm}: {_told(arm, points)}" for arm, points in curves) + "."
