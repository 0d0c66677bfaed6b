"""The forest plot: effects with their intervals and the margin.

Colours and shapes both indicate the verdict.
"""

from typing import Any

from ablab.analysis.effect_summary import EffectSummary
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
from ablab.report.figures.effect_row import effect_row
from ablab.report.sentences import diverged_note

_LABEL = 24  # characters of a name in a line; the rest of the figure is for the effects
_MAX_INTERACTIONS = 12


def forest(summary: PartSummary) -> Plot | None:
    """Draw the changes, then the largest interactions, each by size; None if nothing is known yet.

    A total is drawn only if there are no changes: it is much larger, and in the waterfall.
    """
    estimated = [e for e in summary.effects_by_size if e.estimate is not None]
    changes = [e for e in estimated if e.kind == "change"]
    if not changes:
        changes = [e for e in estimated if e.kind == "total"]
    between = [e for e in estimated if e.kind == "interaction"]
    effects = changes + between[:_MAX_INTERACTIONS]
    if not effects:
        return None
    names = [folded(effect.name, _LABEL) for effect in effects]
    lines = len(names) + 0.45 * sum(name.count("\n") for name in names)
    with drawing(1.25 + 0.27 * lines) as figure:
        axes = figure.add_subplot()
        _background(axes, summary)
        positions = _positions(names, len(changes))
        for position, effect in zip(positions, effects, strict=True):
            mark(axes, position, effect)
        axes.set_yticks(positions, names)
        axes.set_ylim(positions[-1] - 0.7, positions[0] + 0.7)
        if between:
            first = len(changes)  # position of the first interaction
            divider = (positions[first - 1] + positions[first]) / 2 if changes else 1
            axes.axhline(divider, color=GRID, linewidth=0.8)
        _legend(figure, axes, effects)
    notes = [diverged_note(summary.effects)]
    texts = " ".join(filter(None, [*map(_description, effects), *notes]))
    alternative = f"Forest plot: effects on {summary.metric} with 95 % intervals. {texts}"
    more = len(between) - _MAX_INTERACTIONS
    if more > 0:
        omitted = f"The {_MAX_INTERACTIONS} largest interactions; {more} more are in the table."
        notes.insert(0, omitted)
    caption = " ".join(filter(None, notes))
    rows = [effect_row({"change": e.name, "kind": e.kind}, e) for e in effects]
    return Plot("forest", "Effects and their intervals", alternative, figure, caption, rows)


def _background(axes: Any, summary: PartSummary) -> None:
    """Draw the margin, the line at zero and the labels of the axes."""
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
    side = METRICS[summary.metric].pick(lower="left", higher="right")
    axes.set_xlabel(f"effect on {summary.metric} ({side} is better)")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.locator_params(axis="x", nbins=6)


def _positions(names: list[str], changes: int) -> list[float]:
    """Return the position of each effect, descending.

    Names of several lines take more room, and there is a gap before the interactions.
    """
    positions = []
    position = 0.0
    for i, name in enumerate(names):
        room = 0.225 * name.count("\n")
        position -= room + (0.4 if i == changes > 0 else 0.0)
        positions.append(position)
        position -= 1 + room
    return positions


def mark(axes: Any, row: float, effect: EffectSummary) -> None:
    """Draw an effect on a row of `axes`."""
    colour, marker = MARKS.get(effect.verdict, UNKNOWN)
    if effect.low is not None and effect.high is not None:
        axes.plot(
            [effect.low, effect.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt"
        )
    axes.plot([effect.estimate], [row], marker, color=colour, markersize=7)


def _legend(figure: Any, axes: Any, effects: list[EffectSummary]) -> None:
    for verdict in dict.fromkeys(effect.verdict for effect in effects):
        colour, marker = MARKS.get(verdict, UNKNOWN)
        axes.plot([], [], marker, color=colour, markersize=6, label=verdict or "no verdict")
    figure.legend(
        loc="outside lower center", ncols=4, handletextpad=0.3, columnspacing=1.2, labelcolor=MUTED
    )


def _description(effect: EffectSummary) -> str:
    return f"{effect.name}: {effect.estimate:+.3g}, {effect.verdict or 'no verdict'}."
