"""The waterfall: from the first family to the last, what each change brings, and what the changes
do together.
"""

from typing import Any

from ablab.analysis.waterfall_steps import Steps
from ablab.metrics import METRICS
from ablab.report.figures.canvas import (
    BLUE,
    GRID,
    INK,
    MUTED,
    VERMILION,
    Plot,
    drawing,
    folded,
    reach,
)
from ablab.text.numbers import digits

_LABEL = 24
_WHOLE = {
    "path": "Each step is made on top of those above it.",
    "shapley": (
        "Each share is averaged over the orders in which the changes can be made: the shares sum "
        "to the whole."
    ),
}
_PARTS = {
    "leave_one_out": "Each bar is what the change does among all the others, in the last arm.",
    "one_in_one_out": "Each bar is what the change does alone, in the first arm.",
}
_AVERAGED = "Each bar is what the change does on average over the other changes."
_REST = (
    "These do not sum to the whole, and the hatched bar is what is left: what the changes do "
    "together."
)
_VERDICTS = {
    "an earlier look": (
        "Bars are drawn from all seeds; a verdict that was decided at an earlier look has that "
        "look's estimate and interval."
    ),
    "complete arms": (
        "Bars are drawn from all runs so far; a verdict has the estimate and the interval of the "
        "arms that are complete."
    ),
}
_PALE = "Pale: neither helps nor hurts, as far as is known."


def waterfall(steps: Steps | None, metric: str) -> Plot | None:
    """A bar a step, from the value before it to the value after it."""
    if steps is None:
        return None
    names = [
        folded(name, _LABEL)
        for name in (steps.start, *(step.name for step in steps.changes), steps.end)
    ]
    more = sum(name.count("\n") for name in names)
    places = digits(steps.spread)
    with drawing(0.8 + 0.29 * len(names) + 0.13 * more) as figure:
        axes = figure.add_subplot()
        at, edges = steps.first, [steps.first]
        for row, step in enumerate(steps.changes, 1):
            colour = BLUE if METRICS[metric].as_loss(step.estimate) < 0 else VERMILION
            face: dict[str, Any] = {"color": colour, "alpha": 1.0 if step.decided else 0.45}
            if step.rest:
                face = {"color": "none", "edgecolor": MUTED, "hatch": "////", "linewidth": 0.8}
            axes.barh(row, step.estimate, left=at, height=0.62, **face)
            axes.plot([at, at], [row - 0.69, row + 0.31], color=GRID, linewidth=0.8, zorder=0)
            if step.low is not None and step.high is not None:
                axes.plot([at + step.low, at + step.high], [row, row], color=INK, linewidth=1)
                edges += [at + step.low, at + step.high]
            at += step.estimate
            edges.append(at)
        last = len(names) - 1
        axes.plot([at, at], [last - 0.69, last + 0.31], color=GRID, linewidth=0.8, zorder=0)
        axes.plot([steps.first, at], [0, last], "D", color=INK, markersize=6)
        low, high = reach(edges, edges, 0.04)
        room = 0.24 * (high - low)  # for the figures, beside the bars
        axes.set_xlim(low, high + room)
        for row, text in enumerate(_texts(steps, at, places)):
            axes.text(high + room, row, text, ha="right", va="center", fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(last + 0.6, -0.6)
        side = METRICS[metric].pick(lower="left", higher="right")
        axes.set_xlabel(f"{metric} ({side} is better)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
    told = "; ".join(f"{step.name} {step.estimate:+.{places}f}" for step in steps.changes)
    alternative = (
        f"Waterfall of {metric} from {steps.start} at {steps.first:.{places}f} to {steps.end} at "
        f"{at:.{places}f}: {told}."
    )
    return Plot(
        "waterfall", f"From {steps.start} to {steps.end}", alternative, figure, caption(steps)
    )


def caption(steps: Steps) -> str:
    """Return what a reader must know of the bars."""
    sentences = [_WHOLE.get(steps.design) or _PARTS.get(steps.design, _AVERAGED)]
    if any(step.rest for step in steps.changes):
        sentences.append(_REST)
    if steps.verdicts_from in _VERDICTS:
        sentences.append(_VERDICTS[steps.verdicts_from])
    if not all(step.decided or step.rest for step in steps.changes):
        sentences.append(_PALE)
    return " ".join(sentences)


def _texts(steps: Steps, end: float, places: int) -> list[str]:
    return [
        f"{steps.first:.{places}f}",
        *(f"{step.estimate:+.{places}f}" for step in steps.changes),
        f"{end:.{places}f}",
    ]
