"""The forest plots of two studies in one: the first filled, the second hollow."""

from collections.abc import Sequence
from typing import Any

from ablab.analysis.comparison import Pair
from ablab.analysis.effect_summary import EffectSummary
from ablab.metrics import METRICS
from ablab.report.figures.canvas import INK, MARKS, MUTED, UNKNOWN, Plot, drawing, folded, legend
from ablab.report.figures.effect_row import effect_row
from ablab.report.sentences import diverged_note

_LABEL = 24


def pair_plot(effects: Sequence[Pair], names: tuple[str, str], metric: str) -> Plot | None:
    """Draw the changes that both studies have estimates of; None if there are none."""
    pairs = [
        (pair.name, (pair.first, pair.second))
        for pair in effects
        if pair.kind != "interaction" and _is_known(pair.first) and _is_known(pair.second)
    ]
    if not pairs:
        return None
    labels = [folded(name, _LABEL) for name, _ in pairs]
    height = 1.4 + 0.45 * len(pairs) + 0.1 * sum(label.count("\n") for label in labels)
    with drawing(height) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, (_, (first, second)) in enumerate(pairs):
            _mark(axes, row - 0.16, first, filled=True)
            _mark(axes, row + 0.16, second, filled=False)
        axes.set_yticks(range(len(pairs)), labels)
        axes.set_ylim(len(pairs) - 0.4, -0.6)
        side = METRICS[metric].pick(lower="left", higher="right")
        axes.set_xlabel(f"effect on {metric} ({side} is better)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=6)
        _legend(figure, axes, names)
    texts = "; ".join(
        f"{name}: {a.verdict if a else ''} and {b.verdict if b else ''}" for name, (a, b) in pairs
    )
    diverged = diverged_note(
        effect for pair in effects for effect in (pair.first, pair.second) if effect is not None
    )
    alternative = f"Effects in {names[0]} and in {names[1]}. {texts}. {diverged}".rstrip()
    caption = f"Colours and shapes are verdicts: see the table. {diverged}".rstrip()
    rows = [
        effect_row({"change": name, "study": study}, effect)
        for name, both in pairs
        for study, effect in zip(names, both, strict=True)
        if effect is not None
    ]
    return Plot("pairs", "Effects in both", alternative, figure, caption, rows)


def _mark(axes: Any, row: float, effect: EffectSummary | None, *, filled: bool) -> None:
    """Draw the effect of one study: the first filled, the second hollow and dashed."""
    assert effect is not None
    colour, marker = MARKS.get(effect.verdict, UNKNOWN)
    if effect.low is not None and effect.high is not None:
        axes.plot(
            [effect.low, effect.high],
            [row, row],
            color=colour,
            linewidth=2,
            linestyle="-" if filled else (0, (2, 1.2)),
        )
    face = colour if filled else "none"
    axes.plot(effect.estimate, row, marker, color=colour, markerfacecolor=face, markersize=7)


def _legend(figure: Any, axes: Any, names: tuple[str, str]) -> None:
    handles = [
        axes.plot([], [], "o", color=MUTED, markerfacecolor=face)[0] for face in (MUTED, "none")
    ]
    entries = list(zip(handles, names, strict=True))
    legend(figure, entries, loc="outside lower left", ncols=1, handletextpad=0.3)


def _is_known(effect: EffectSummary | None) -> bool:
    return effect is not None and effect.estimate is not None
