"""The waterfall from the first arm to the last: the step of each change, and the remainder that is
due to interactions.
"""

from typing import Any

from ablab.analysis.waterfall_steps import Step, Steps
from ablab.metrics import METRICS, Metric
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
    "common seeds": (
        "Bars are drawn from all seeds; an effect has the estimate and the interval of the seeds "
        "that all of its arms have."
    ),
    "complete arms": (
        "Bars are drawn from all runs so far; a verdict has the estimate and the interval of the "
        "arms that are complete."
    ),
}
_PALE = "Pale: neither helps nor hurts, as far as is known."


def waterfall(steps: Steps | None, metric: str) -> Plot | None:
    """Draw a bar for each step, from the value before it to the value after it."""
    if steps is None:
        return None
    changes = [step.name for step in steps.changes]
    names = [folded(name, _LABEL) for name in (steps.start, *changes, steps.end)]
    more = sum(name.count("\n") for name in names)
    places = digits(steps.spread)
    # Values of the metric before each step, and after the last.
    levels = [steps.first]
    for step in steps.changes:
        levels.append(levels[-1] + step.estimate)
    end = levels[-1]
    with drawing(0.8 + 0.29 * len(names) + 0.13 * more) as figure:
        axes = figure.add_subplot()
        for row, step in enumerate(steps.changes, 1):
            _bar(axes, row, levels[row - 1], step, METRICS[metric])
        last = len(names) - 1
        _connector(axes, last, end)
        axes.plot([steps.first, end], [0, last], "D", color=INK, markersize=6)
        edges = [*levels, *_interval_ends(steps, levels)]
        low, high = reach(edges, edges, 0.04)
        room = 0.24 * (high - low)  # for the numbers beside the bars
        axes.set_xlim(low, high + room)
        for row, text in enumerate(_texts(steps, end, places)):
            axes.text(high + room, row, text, ha="right", va="center", fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(last + 0.6, -0.6)
        side = METRICS[metric].pick(lower="left", higher="right")
        axes.set_xlabel(f"{metric} ({side} is better)")
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
    texts = "; ".join(f"{step.name} {step.estimate:+.{places}f}" for step in steps.changes)
    alternative = (
        f"Waterfall of {metric} from {steps.start} at {steps.first:.{places}f} to {steps.end} at "
        f"{end:.{places}f}: {texts}."
    )
    title = f"From {steps.start} to {steps.end}"
    return Plot("waterfall", title, alternative, figure, caption(steps), _rows(steps, levels))


def _bar(axes: Any, row: int, before: float, step: Step, metric: Metric) -> None:
    """Draw a step from the value before it, with its interval."""
    colour = BLUE if metric.as_loss(step.estimate) < 0 else VERMILION
    face: dict[str, Any] = {"color": colour, "alpha": 1.0 if step.decided else 0.45}
    if step.rest:
        face = {"color": "none", "edgecolor": MUTED, "hatch": "////", "linewidth": 0.8}
    axes.barh(row, step.estimate, left=before, height=0.62, **face)
    _connector(axes, row, before)
    if step.low is not None and step.high is not None:
        axes.plot([before + step.low, before + step.high], [row, row], color=INK, linewidth=1)


def _connector(axes: Any, row: int, level: float) -> None:
    """Draw the line that connects a row with the one above."""
    axes.plot([level, level], [row - 0.69, row + 0.31], color=GRID, linewidth=0.8, zorder=0)


def _interval_ends(steps: Steps, levels: list[float]) -> list[float]:
    ends = []
    for before, step in zip(levels, steps.changes, strict=False):
        if step.low is not None and step.high is not None:
            ends += [before + step.low, before + step.high]
    return ends


def caption(steps: Steps) -> str:
    """Return what a reader must know about the bars."""
    sentences = [_WHOLE.get(steps.design) or _PARTS.get(steps.design, _AVERAGED)]
    if any(step.rest for step in steps.changes):
        sentences.append(_REST)
    if steps.verdicts_from in _VERDICTS:
        sentences.append(_VERDICTS[steps.verdicts_from])
    if not all(step.decided or step.rest for step in steps.changes):
        sentences.append(_PALE)
    return " ".join(sentences)


def _rows(steps: Steps, levels: list[float]) -> list[dict[str, Any]]:
    """Return the ends as arms with a value, and between them the steps with their effects."""
    middle = [
        (step.name, level, step.estimate, step.low, step.high)
        for step, level in zip(steps.changes, levels[1:], strict=True)
    ]
    rows = [(steps.start, steps.first, None, None, None), *middle]
    rows.append((steps.end, levels[-1], None, None, None))
    return [
        dict(zip(("step", "value", "estimate", "low", "high"), row, strict=True)) for row in rows
    ]


def _texts(steps: Steps, end: float, places: int) -> list[str]:
    return [
        f"{steps.first:.{places}f}",
        *(f"{step.estimate:+.{places}f}" for step in steps.changes),
        f"{end:.{places}f}",
    ]
