"""The heat map of interactions between pairs of changes."""

from collections.abc import Iterable, Mapping
from typing import Any

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS
from ablab.report.figures.canvas import BLUE, GRID, INK, MUTED, VERMILION, Plot, drawing, folded
from ablab.report.figures.effect_row import effect_row
from ablab.report.sentences import places_of, word

_TIMES = " × "
_MIN_COLUMNS = 4  # width of the axes at least, so that a few cells are not huge
# Opacity of the largest: numbers in it are legible on a light and on a dark background.
_MAX_OPACITY = 0.62
_MAX_NUMBERED = 9  # with more columns there is no room for numbers
_MAX_DESCRIBED = 5  # interactions in the text alternative


def interactions(summary: PartSummary) -> Plot | None:
    """Draw a cell for each pair; None if no interaction is known.

    The colour of a cell indicates the sign of the interaction, its opacity the size.
    """
    cells = _cells(summary)
    if not cells:
        return None
    rows, columns = _sides(summary, cells)
    largest = max(abs(e.estimate or 0.0) for e in cells.values()) or 1.0
    unit = 1e-3 if largest < 0.1 else 1.0
    numbers = len(columns) <= _MAX_NUMBERED
    with drawing(min(4.6, 0.48 * len(rows)) + 1.2) as figure:
        axes = figure.add_subplot()
        for (a, b), effect in cells.items():
            row = rows.index(b)
            column = columns.index(a)
            better = METRICS[summary.metric].as_loss(effect.estimate or 0.0) < 0
            _cell(axes, (row, column), effect, largest, BLUE if better else VERMILION)
            if numbers:
                text = _number(effect, unit)
                axes.text(column, row, text, ha="center", va="center", fontsize=8)
        _label(axes, rows, columns)
    sorted_effects = sorted(
        {e.name: e for e in cells.values()}.values(), key=lambda e: -abs(e.estimate or 0.0)
    )
    texts = "; ".join(
        f"{e.title} {e.estimate:+.3g}, {word(e.verdict)}" for e in sorted_effects[:_MAX_DESCRIBED]
    )
    alternative = (
        f"Heat map of interactions of {len({*rows, *columns})} changes on {summary.metric}. The "
        f"largest: {texts}."
    )
    caption = _caption(summary, cells, unit if numbers else 1.0)
    data = [effect_row({"first": a, "second": b}, effect) for (a, b), effect in cells.items()]
    return Plot("interactions", "Interactions", alternative, figure, caption, data)


def _label(axes: Any, rows: list[str], columns: list[str]) -> None:
    axes.set_xlim(-0.5, max(len(columns), _MIN_COLUMNS) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(
        range(len(columns)),
        [folded(name, 18, 3) for name in columns],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(rows)), [folded(name, 18, 3) for name in rows])
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)


def _caption(
    summary: PartSummary, cells: Mapping[tuple[str, str], EffectSummary], unit: float
) -> str:
    """Return the caption; `unit` is that of the numbers in the cells."""
    sentences = [
        "Blue: worth more together than the sum of both; orange: worth less. A frame marks those "
        "distinguishable from zero."
    ]
    if unit < 1:
        sentences.append(f"Figures are thousandths of {summary.metric}.")
    if any(effect.aliases for effect in cells.values()):
        sentences.append("Pairs with equal figures and a dot are aliased in this design.")
    rows, columns = _sides(summary, cells)
    place = _order(summary, cells).index
    if len(cells) < sum(place(a) < place(b) for a in columns for b in rows):
        sentences.append("Blank: not estimable, or aliased with a change's own effect.")
    return " ".join(sentences)


def _sides(
    summary: PartSummary, cells: Mapping[tuple[str, str], EffectSummary]
) -> tuple[list[str], list[str]]:
    """Return the names beside the rows and below the columns, in the order of the changes."""
    order = _order(summary, cells)
    rows = {row for _, row in cells}
    columns = {column for column, _ in cells}
    return [name for name in order if name in rows], [name for name in order if name in columns]


def _order(summary: PartSummary, pairs: Iterable[tuple[str, str]]) -> list[str]:
    changes = [e.name for e in summary.effects if e.kind == "change"]
    every = list(pairs)
    return list(dict.fromkeys([*changes, *(a for a, _ in every), *(b for _, b in every)]))


def _cells(summary: PartSummary) -> dict[tuple[str, str], EffectSummary]:
    """Return the effect of each pair, the earlier change first."""
    pairs = _pairs(summary)
    place = _order(summary, pairs).index
    return {(a, b) if place(a) < place(b) else (b, a): effect for (a, b), effect in pairs.items()}


def _pairs(summary: PartSummary) -> dict[tuple[str, str], EffectSummary]:
    cells = {}
    for effect in summary.effects:
        if effect.kind != "interaction" or effect.estimate is None:
            continue
        for name in (effect.name, *effect.aliases):
            pair = tuple(name.split(_TIMES))
            if len(pair) == 2:
                cells[pair] = effect
    return cells


def _cell(
    axes: Any, position: tuple[int, int], effect: EffectSummary, largest: float, colour: str
) -> None:
    """Draw the cell at (row, column)."""
    from matplotlib.patches import Rectangle

    row, column = position
    corner = (column - 0.47, row - 0.47)
    axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=GRID, alpha=0.25, linewidth=0))
    opacity = _MAX_OPACITY * abs(effect.estimate or 0.0) / largest
    axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=colour, alpha=opacity, linewidth=0))
    if effect.real or effect.verdict in ("helps", "hurts"):
        inner = (column - 0.43, row - 0.43)
        axes.add_patch(Rectangle(inner, 0.86, 0.86, fill=False, edgecolor=INK, linewidth=1.4))
    if effect.aliases:
        axes.plot([column + 0.38], [row - 0.36], "o", color=MUTED, markersize=2)


def _number(effect: EffectSummary, unit: float) -> str:
    places = max(0, places_of(effect) - (3 if unit < 1 else 0))
    return f"{(effect.estimate or 0.0) / unit:+.{places}f}"
