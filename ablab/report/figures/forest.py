"""The forest plot: effects with their intervals, the margin shaded, verdicts told by colour and by
shape.
"""

from typing import Any

from ablab.analysis.effects import EffectSummary
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS
from ablab.report.figures.canvas import (
    GREEN,
    GRID,
    INK,
    MARKS,
    MUTED,
    UNKNOWN,
    Plot,
    drawing,
    folded,
)
from ablab.report.sentences import lost

_LABEL = 24  # characters of a name in a line: the rest of the figure is for the effects
_MOST_INTERACTIONS = 12


def forest(summary: PartSummary) -> Plot | None:
    """Changes, then interactions, the largest first; a total is much larger, and in the waterfall.
    None: nothing is known yet.
    """
    known = [e for e in summary.effects if e.estimate is not None]
    changes = [e for e in known if e.kind == "change"] or [e for e in known if e.kind == "total"]
    between = sorted(
        (e for e in known if e.kind == "interaction"), key=lambda e: -abs(e.estimate or 0.0)
    )
    shown = changes + between[:_MOST_INTERACTIONS]
    if not shown:
        return None
    names = [folded(effect.name, _LABEL) for effect in shown]
    lines = len(names) + 0.45 * sum(name.count("\n") for name in names)
    with drawing(1.25 + 0.27 * lines) as figure:
        axes = figure.add_subplot()
        if summary.margin is not None:
            axes.axvspan(
                -summary.margin,
                summary.margin,
                color=GREEN,
                alpha=0.16,
                linewidth=0,
                label="within the margin",
            )
        axes.axvline(0, color=INK, linewidth=0.8)
        rows = _rows(names, len(changes))
        for row, effect in zip(rows, shown, strict=True):
            mark(axes, row, effect)
        axes.set_yticks(rows, names)
        axes.set_ylim(rows[-1] - 0.7, rows[0] + 0.7)
        if between:
            axes.axhline(
                (rows[len(changes) - 1] + rows[len(changes)]) / 2 if changes else 1,
                color=GRID,
                linewidth=0.8,
            )
        side = METRICS[summary.metric].pick(lower="left", higher="right")
        axes.set_xlabel(f"effect on {summary.metric} ({side} is better)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=6)
        _legend(figure, axes, shown)
    more = len(between) - _MOST_INTERACTIONS
    left = (
        f"The {_MOST_INTERACTIONS} largest interactions; {more} more are in the table."
        if more > 0
        else ""
    )
    diverged = lost(summary.effects)
    told = " ".join(filter(None, [*map(_told, shown), diverged]))
    alternative = f"Forest plot: effects on {summary.metric} with 95 % intervals. {told}"
    return Plot(
        "forest",
        "Effects and their intervals",
        alternative,
        figure,
        " ".join(filter(None, [left, diverged])),
    )


def _rows(names: list[str], changes: int) -> list[float]:
    """Where each effect stands, downwards: names of several lines take more room, and interactions
    stand apart.
    """
    rows, at = [], 0.0
    for i, name in enumerate(names):
        room = 0.225 * name.count("\n")
        at -= room + (0.4 if i == changes > 0 else 0.0)
        rows.append(at)
        at -= 1 + room
    return rows


def mark(axes: Any, row: float, effect: EffectSummary) -> None:
    """An effect on a row of `axes`."""
    colour, marker = MARKS.get(effect.verdict, UNKNOWN)
    if effect.low is not None and effect.high is not None:
        axes.plot(
            [effect.low, effect.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt"
        )
    axes.plot([effect.estimate], [row], marker, color=colour, markersize=7)


def _legend(figure: Any, axes: Any, shown: list[EffectSummary]) -> None:
    for verdict in dict.fromkeys(effect.verdict for effect in shown):
        colour, marker = MARKS.get(verdict, UNKNOWN)
        axes.plot([], [], marker, color=colour, markersize=6, label=verdict or "no verdict")
    figure.legend(
        loc="outside lower center", ncols=4, handletextpad=0.3, columnspacing=1.2, labelcolor=MUTED
    )


def _told(effect: EffectSummary) -> str:
    return f"{effect.name}: {effect.estimate:+.3g}, {effect.verdict or 'no verdict'}."
