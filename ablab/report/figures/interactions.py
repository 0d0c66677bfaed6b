"""The heat map of interactions between pairs of changes."""

from collections.abc import Iterable, Mapping
from typing import Any

from ablab.analysis.effects import EffectSummary
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS
from ablab.report.figures.canvas import BLUE, GRID, INK, MUTED, VERMILION, Plot, drawing, folded
from ablab.report.sentences import places_of, word

_TIMES = " × "
_FEWEST = 4  # columns that there is room for at least, so that few cells are not huge
_STRONGEST = 0.62  # opacity of the largest: letters in it stay legible on light and on dark ground
_MOST_NUMBERS = 9  # changes: more leave no room for figures


def interactions(summary: PartSummary) -> Plot | None:
    """A cell a pair, its colour the way and its strength the size. None: no pair is known."""
    cells = _cells(summary)
    if not cells:
        return None
    rows, columns = _sides(summary, cells)
    most = max(abs(e.estimate or 0.0) for e in cells.values()) or 1.0
    unit = 1e-3 if most < 0.1 else 1.0
    numbers = len(columns) <= _MOST_NUMBERS
    with drawing(min(4.6, 0.48 * len(rows)) + 1.2) as figure:
        axes = figure.add_subplot()
        for (a, b), effect in cells.items():
            at = (rows.index(b), columns.index(a))
            better = METRICS[summary.metric].as_loss(effect.estimate or 0.0) < 0
            _cell(axes, at, effect, most, BLUE if better else VERMILION)
            if numbers:
                axes.text(at[1], at[0], _number(effect, unit), ha="center", va="center", fontsize=8)
        axes.set_xlim(-0.5, max(len(columns), _FEWEST) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(
            range(len(columns)),
            [folded(n, 18, 3) for n in columns],
            rotation=40,
            ha="right",
            rotation_mode="anchor",
        )
        axes.set_yticks(range(len(rows)), [folded(n, 18, 3) for n in rows])
        axes.tick_params(length=0, labelsize=9)
        axes.spines[:].set_visible(False)
    aliased = any(e.aliases for e in cells.values())
    caption = (
        "Blue: worth more together than the sum of both; orange: worth less. A frame marks those "
        "distinguishable from zero."
    )
    caption += f" Figures are thousandths of {summary.metric}." if unit < 1 and numbers else ""
    caption += " Pairs with equal figures and a dot are aliased in this design." if aliased else ""
    place = _order(summary, cells).index
    if len(cells) < sum(place(a) < place(b) for a in columns for b in rows):
        caption += " Blank: not estimable, or aliased with a change's own effect."
    largest = sorted(
        {e.name: e for e in cells.values()}.values(), key=lambda e: -abs(e.estimate or 0.0)
    )[:5]
    told = "; ".join(f"{e.title} {e.estimate:+.3g}, {word(e.verdict)}" for e in largest)
    alternative = (
        f"Heat map of interactions of {len({*rows, *columns})} changes on {summary.metric}. The "
        f"largest: {told}."
    )
    return Plot("interactions", "Interactions", alternative, figure, caption)


def _sides(
    summary: PartSummary, cells: Mapping[tuple[str, str], EffectSummary]
) -> tuple[list[str], list[str]]:
    """The names beside the rows and below the columns, in the order of the changes."""
    known = _order(summary, cells)
    rows, columns = ({pair[side] for pair in cells} for side in (1, 0))
    return [name for name in known if name in rows], [name for name in known if name in columns]


def _order(summary: PartSummary, pairs: Iterable[tuple[str, str]]) -> list[str]:
    changes = [e.name for e in summary.effects if e.kind == "change"]
    every = list(pairs)
    return list(dict.fromkeys([*changes, *(a for a, _ in every), *(b for _, b in every)]))


def _cells(summary: PartSummary) -> dict[tuple[str, str], EffectSummary]:
    """Each pair's effect, the earlier change first."""
    found = _pairs(summary)
    place = _order(summary, found).index
    return {(a, b) if place(a) < place(b) else (b, a): effect for (a, b), effect in found.items()}


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


def _cell(axes: Any, at: tuple[int, int], effect: EffectSummary, most: float, colour: str) -> None:
    from matplotlib.patches import Rectangle

    (row, column), value = at, effect.estimate or 0.0
    axes.add_patch(
        Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=GRID, alpha=0.25, linewidth=0)
    )
    strength = _STRONGEST * abs(value) / most
    axes.add_patch(
        Rectangle(
            (column - 0.47, row - 0.47), 0.94, 0.94, facecolor=colour, alpha=strength, linewidth=0
        )
    )
    if effect.real or effect.verdict in ("helps", "hurts"):
        axes.add_patch(
            Rectangle(
                (column - 0.43, row - 0.43), 0.86, 0.86, fill=False, edgecolor=INK, linewidth=1.4
            )
        )
    if effect.aliases:
        axes.plot([column + 0.38], [row - 0.36], "o", color=MUTED, markersize=2)


def _number(effect: EffectSummary, unit: float) -> str:
    places = max(0, places_of(effect) - (3 if unit < 1 else 0))
    return f"{(effect.estimate or 0.0) / unit:+.{places}f}"
