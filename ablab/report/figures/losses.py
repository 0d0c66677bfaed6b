"""Loss curves with bands over the seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ablab.analysis.curves import Curve, Curves
from ablab.report.figures.canvas import (
    GRID,
    LINES,
    MUTED,
    Plot,
    drawing,
    folded,
    in_sizes,
    legend,
    reach,
)

_STYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (8, 2)))
# The y axis fits the curves after this share of the budget. Before it, losses fall so steeply that
# later differences would be invisible.
_CUT = 0.2


def losses(curves: Curves) -> Plot | None:
    """Draw the training loss, if the tokens of all arms are the same, and below it the metric.

    None if nothing was measured yet.
    """
    metrics = list(dict.fromkeys(curve.metric for curve in curves.curves))
    if not metrics:
        return None
    names = [name for name in curves.colored if any(curve.arm == name for curve in curves.curves)]
    labels = [folded(name, 56, 3) for name in names]
    lines = len(labels) + sum(label.count("\n") for label in labels)
    others = len({curve.arm for curve in curves.curves} - set(names))
    with drawing(2.1 * len(metrics) + 0.6 + 0.17 * (lines + (others > 0))) as figure:
        panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
        for axes, metric in zip(panels, metrics, strict=True):
            _panel(axes, [curve for curve in curves.curves if curve.metric == metric], names)
            axes.set_title(metric, color=MUTED)
        panels[-1].set_xlabel(curves.axis)
        if curves.axis == "tokens":
            in_sizes(panels[-1].xaxis)
        _legend(figure, panels[0], labels, others)
    band = ""
    if curves.seeds > 1:
        band = f" Bands: the range of the seeds (up to {curves.seeds} an arm)."
    caption = (
        f"The first {100 * _CUT:.0f} % is cut off above where losses fall steeply.{band} "
        f"{curves.note}"
    ).rstrip()
    ends = ", ".join(
        f"{c.arm} ends at {c.mean[-1]:.4g}"
        for c in curves.curves
        if c.metric == metrics[-1] and c.arm in names
    )
    alternative = f"Curves of {' and '.join(metrics)} by {curves.axis}. {metrics[-1]}: {ends}."
    return Plot("losses", "Loss curves", alternative, figure, caption, _rows(curves))


def _rows(curves: Curves) -> list[dict[str, Any]]:
    return [
        {"arm": c.arm, "metric": c.metric, curves.axis: x, "mean": mean, "low": low, "high": high}
        for c in curves.curves
        for x, mean, low, high in zip(
            *(values.tolist() for values in (c.x, c.mean, c.low, c.high)), strict=True
        )
    ]


def _panel(axes: Any, curves: Sequence[Curve], names: Sequence[str]) -> None:
    for curve in curves:
        if curve.arm not in names:
            axes.plot(curve.x, curve.mean, color=GRID, linewidth=1, zorder=1)
    for curve in (c for name in names for c in curves if c.arm == name):
        i = names.index(curve.arm) % len(LINES)
        axes.fill_between(
            curve.x, curve.low, curve.high, color=LINES[i], alpha=0.18, linewidth=0, zorder=2
        )
        axes.plot(
            curve.x,
            curve.mean,
            color=LINES[i],
            linestyle=_STYLES[i % len(_STYLES)],
            linewidth=1.6,
            zorder=3,
        )
        if len(curve.x) < 20:
            axes.plot(curve.x, curve.mean, "o", color=LINES[i], markersize=3.5, zorder=3)
    end = max(curve.x[-1] for curve in curves)
    late = [
        (low, high)
        for c in curves
        for x, low, high in zip(c.x, c.low, c.high, strict=True)
        if x >= _CUT * end
    ]
    lows, highs = zip(
        *[pair for pair in late if np.isfinite(pair).all()] or [(0.0, 1.0)], strict=True
    )
    axes.set_ylim(*reach(list(lows), list(highs), 0.04))
    axes.set_xlim(0, end * 1.01)


def _legend(figure: Any, axes: Any, labels: Sequence[str], others: int) -> None:
    entries = []
    for i, label in enumerate(labels):
        (line,) = axes.plot(
            [], [], color=LINES[i % len(LINES)], linestyle=_STYLES[i % len(_STYLES)], linewidth=1.6
        )
        entries.append((line, label))
    if others:
        (line,) = axes.plot([], [], color=GRID, linewidth=1)
        entries.append((line, f"{others} other arms"))
    legend(figure, entries, loc="outside lower left", ncols=1, labelspacing=0.25)
