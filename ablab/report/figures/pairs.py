"""Two studies' forest plots in one: the first filled, the second hollow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablab.analysis.effects import EffectSummary
from ablab.metrics import METRICS
from ablab.report.figures.canvas import INK, MARKS, MUTED, UNKNOWN, Plot, drawing, folded, legend
from ablab.report.sentences import lost

if TYPE_CHECKING:
    from ablab.analysis.comparison import Pair

_LABEL = 24


def pair_plot(effects: "Sequence[Pair]", names: tuple[str, str], metric: str) -> Plot | None:
    """The changes that both studies know. None: there are none."""
    both = [
        (p.name, (p.first, p.second))
        for p in effects
        if p.kind != "interaction" and _known(p.first) and _known(p.second)
    ]
    if not both:
        return None
    labels = [folded(name, _LABEL) for name, _ in both]
    with drawing(
        1.4 + 0.45 * len(both) + 0.1 * sum(label.count("\n") for label in labels)
    ) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, (_, found) in enumerate(both):
            for effect, offset, face in zip(found, (-0.16, 0.16), (None, "none"), strict=True):
                assert effect is not None
                colour, marker = MARKS.get(effect.verdict, UNKNOWN)
                if effect.low is not None and effect.high is not None:
                    line = "-" if face is None else (0, (2, 1.2))
                    axes.plot(
                        [effect.low, effect.high],
                        [row + offset] * 2,
                        color=colour,
                        linewidth=2,
                        linestyle=line,
                    )
                axes.plot(
                    effect.estimate,
                    row + offset,
                    marker,
                    color=colour,
                    markerfacecolor=face or colour,
                    markersize=7,
                )
        axes.set_yticks(range(len(both)), labels)
        axes.set_ylim(len(both) - 0.4, -0.6)
        side = METRICS[metric].pick(lower="left", higher="right")
        axes.set_xlabel(f"effect on {metric} ({side} is better)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=6)
        marks = [
            axes.plot([], [], "o", color=MUTED, markerfacecolor=face)[0] for face in (MUTED, "none")
        ]
        legend(
            figure,
            list(zip(marks, names, strict=True)),
            loc="outside lower left",
            ncols=1,
            handletextpad=0.3,
        )
    told = "; ".join(
        f"{name}: {a.verdict if a else ''} and {b.verdict if b else ''}" for name, (a, b) in both
    )
    diverged = lost(
        effect for pair in effects for effect in (pair.first, pair.second) if effect is not None
    )
    alternative = f"Effects in {names[0]} and in {names[1]}. {told}. {diverged}".rstrip()
    caption = f"Colours and shapes are verdicts: see the table. {diverged}".rstrip()
    return Plot("pairs", "Effects in both", alternative, figure, caption)


def _known(effect: EffectSummary | None) -> bool:
    return effect is not None and effect.estimate is not None
