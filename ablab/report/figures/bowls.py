"""What each arm's trials gave: bowls over what was tuned first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any

from ablab.analysis.summary import PartSummary
from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS, Metric
from ablab.report.figures.canvas import BLUE, MUTED, VERMILION, Plot, bare_drawing, folded, reach
from ablab.text.numbers import exact

_MOST = 24  # arms: the table has all
_ACROSS = 3
_LETTER = 0.06  # share of an axis that a letter of a label takes
Points = list[tuple[float, float]]


def bowls(summary: PartSummary) -> Plot | None:
    """All bowls in one figure, on one scale: for a file."""
    curves = _curves(summary)
    if not curves:
        return None
    metric = METRICS[summary.metric]
    across = min(_ACROSS, len(curves))
    down = -(-len(curves) // across)
    titles = [folded(arm.arm, 22, 4) for arm, _ in curves]
    room = 0.14 * (1 + max(title.count("\n") + 1 for title in titles))  # inches above each
    height = 0.5 + down * (1 + room) + (down - 1) * 0.15
    ticks = _Ticks.of(curves)
    with bare_drawing(height) as figure:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(
            0.13, 0.5 / height, 0.95, 1 - room / height, wspace=0.3, hspace=room + 0.15
        )
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (arm, points), title in zip(grid.flat, curves, titles, strict=False):
            _bowl(axes, arm, points, ticks, metric)
            axes.set_title(title, fontsize=7)
        for axes in grid.flat[
            max(0, len(curves) - across) : len(curves)
        ]:  # the lowest of each column
            axes.tick_params(labelbottom=True)
        figure.supxlabel(_option(curves[0][0]), fontsize=9, y=0.02)
        figure.supylabel(summary.metric, fontsize=9, x=0.01)
    return Plot(
        "bowls",
        "Tuning",
        f"{summary.metric} of each arm's trials. {_all(curves, metric)}",
        figure,
        _caption(summary, curves),
    )


def single_bowls(summary: PartSummary) -> list[Plot]:
    """A small figure an arm, on one scale: for a page, which sets as many in a row as there is room
    for. Titles are arms.
    """
    curves = _curves(summary)
    if not curves:
        return []
    ys = [y for _, points in curves for _, y in points]
    ticks, metric = _Ticks.of(curves), METRICS[summary.metric]
    made = []
    for i, (arm, points) in enumerate(curves):
        with bare_drawing(1.35, 2.3) as figure:
            axes = figure.add_axes((0.18, 0.17, 0.78, 0.8))
            _bowl(axes, arm, points, ticks, metric)
            axes.set_ylim(*reach(ys, ys, 0.08))
        made.append(
            Plot(
                f"bowl{i}",
                arm.arm,
                f"{summary.metric} by {_option(arm)}: {_told(arm, points, metric)}",
                figure,
            )
        )
    return [replace(made[0], caption=_caption(summary, curves)), *made[1:]]


def no_bowl(summary: PartSummary) -> str:
    """Why there is nothing to draw of a tuning; nothing where there is, or where nothing was
    tuned.
    """
    if not summary.tuning or _curves(summary):
        return ""
    if any(_option(arm) for arm in summary.tuning):
        return "No bowl to draw yet: no arm has values at two points of what was tried."
    return "No bowl to draw: what was tried are no numbers. The table has all."


@dataclass(frozen=True)
class _Ticks:
    """One scale for all arms: logarithmic where all that was tried is above 0. `at`: the labels of
    the lowest, the middle (if there is room) and the highest, each where it says.
    """

    log: bool
    at: dict[float, str]
    limits: tuple[float, float]

    @classmethod
    def of(cls, curves: "Sequence[tuple[ArmTuning, Points]]") -> "_Ticks":
        """Of all points of all arms."""
        tried = sorted({x for _, points in curves for x, _ in points})
        log, low, high = tried[0] > 0, tried[0], tried[-1]
        chosen = list(dict.fromkeys((low, tried[len(tried) // 2], high)))
        labels = _labels(chosen)
        room = _LETTER * max(map(len, labels))

        def free(x: float) -> bool:
            share = log10(x / low) / log10(high / low) if log else (x - low) / (high - low)
            return x in (low, high) or room < share < 1 - room

        at = {float(label): label for x, label in zip(chosen, labels, strict=True) if free(x)}
        return cls(log, at, (low / 1.2, high * 1.2) if log else reach(tried, tried))


def _labels(chosen: Sequence[float]) -> list[str]:
    """In the fewest digits, three or less where these do, that tell them apart and keep what was
    listed (1.5e-3).
    """
    labels = [f"{x:.3g}" for x in chosen]
    if len(set(labels)) < len(chosen):
        labels = [exact(x) for x in chosen]
    return [label.replace("e-0", "e-").replace("e+0", "e") for label in labels]


def _bowl(axes: Any, arm: ArmTuning, points: Points, ticks: _Ticks, metric: Metric) -> None:
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
    every = [(arm, _points(arm)) for arm in summary.tuning]
    return [(arm, points) for arm, points in every if points and points[0][0] < points[-1][0]][
        :_MOST
    ]


def _points(arm: ArmTuning) -> Points:
    name = _option(arm)
    return sorted(
        (float(t.params[name]), t.values[0]) for t in arm.trials if name and t.values is not None
    )


def _option(arm: ArmTuning) -> str:
    """The first option of which only numbers were tried; empty where there is none."""
    tried = [trial.params for trial in arm.trials]
    names = tried[0] if tried else ()
    return next((name for name in names if all(_number(params.get(name)) for params in tried)), "")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _caption(summary: PartSummary, curves: Sequence[Any]) -> str:
    left = len(summary.tuning) - len(curves)
    more = f" {left} more arms are in the table." if left > 0 else ""
    arm = curves[0][0]
    marks = "The best is a blue diamond, or an orange triangle at an edge of what was tried."
    return f"{summary.metric} by {_option(arm)}. {marks}{more}"


def _best(points: Points, metric: Metric) -> tuple[float, float]:
    return min(points, key=lambda point: metric.as_loss(point[1]))


def _told(arm: ArmTuning, points: Points, metric: Metric) -> str:
    x, y = _best(points, metric)
    return f"best {y:.4g} at {x:.3g}" + (", at the edge of what was tried" if arm.edges else "")


def _all(curves: Sequence[tuple[ArmTuning, Points]], metric: Metric) -> str:
    return "; ".join(f"{arm.arm}: {_told(arm, points, metric)}" for arm, points in curves) + "."
