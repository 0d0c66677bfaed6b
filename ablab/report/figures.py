"""Figures, as SVG."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from textwrap import fill
from typing import Any

from ablab.report.summary import Summary
from ablab.report.trials import ArmTuning
from ablab.report.verdicts import EffectSummary

_LABEL = 32  # characters of a name in a line: the rest of the figure is for the effects
# Okabe and Ito's colours, which colour-blind readers tell apart; the shape says the same.
_MARKS = {
    "helps": ("#0072B2", "v"), "hurts": ("#D55E00", "^"), "equivalent": ("#009E73", "s"), "undecided": ("#777777", "o"),
}  # fmt: skip
_UNKNOWN = ("#777777", "o")


def effects_plot(summary: Summary) -> str:
    """A forest plot: each change's estimate and 95 % interval, the margin shaded, verdicts told by colour and shape."""
    shown = [e for e in summary.effects if e.estimate is not None][::-1]
    names = [fill(effect.name, _LABEL) for effect in shown]
    most = max((name.count("\n") for name in names), default=0)
    with _figure(7, 0.9 + (0.42 + 0.16 * most) * max(1, len(shown))) as figure:
        axes = figure.add_subplot()
        if summary.margin is not None:
            axes.axvspan(-summary.margin, summary.margin, color="#009E73", alpha=0.12, linewidth=0)
        for row, effect in enumerate(shown):
            _mark(axes, row, effect)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(-0.6, max(1, len(shown)) - 0.4)
        axes.set_xlabel(f"effect on {summary.metric} (with minus without; left is better)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        return _svg(figure, f"Effects on {summary.metric} with 95 % intervals")


def _mark(axes: Any, row: int, effect: EffectSummary) -> None:
    colour, marker = _MARKS.get(effect.verdict or "", _UNKNOWN)
    if effect.low is not None and effect.high is not None:
        axes.plot([effect.low, effect.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([effect.estimate], [row], marker, color=colour, markersize=7)


def bowls_plot(summary: Summary) -> str:
    """What each arm's trials gave, against the first option that was tuned, the best marked: a line an arm."""
    curves = [(arm, points) for arm in summary.tuning if len(points := _points(arm)) > 1]
    if not curves:
        return ""
    across = min(4, len(curves))
    down = -(-len(curves) // across)
    with _figure(2.1 * across + 0.8, 1.7 * down + 0.5) as figure:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (arm, points) in zip(grid.flat, curves, strict=False):
            best = min(points, key=lambda point: point[1])
            axes.plot(*zip(*points, strict=True), "o-", color="#777777", markersize=3, linewidth=1)
            axes.plot(*best, "D", color="#D55E00" if arm.edges else "#0072B2", markersize=6)
            axes.set_title(fill(arm.arm, 26), fontsize=7)
            axes.set_xscale("log" if points[0][0] > 0 else "linear")
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        figure.supxlabel(_option(summary.tuning[0]), fontsize=9)
        figure.supylabel(summary.metric, fontsize=9)
        return _svg(figure, f"{summary.metric} of each arm's trials, the best marked, in orange where it lies at an edge")


def _points(arm: ArmTuning) -> list[tuple[float, float]]:
    name = _option(arm)
    found = [(t.params.get(name), t.values[0]) for t in arm.trials if t.values is not None]
    return sorted((float(x), y) for x, y in found if isinstance(x, int | float))


def _option(arm: ArmTuning) -> str:
    return next(iter(arm.trials[0].params), "") if arm.trials else ""


@contextmanager
def _figure(width: float, height: float) -> Iterator[Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ablab", "font.size": 10}):
        yield Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Any, alternative: str) -> str:
    """The figure as inline SVG with a text alternative."""
    out = StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{alternative}"', 1)
