"""Figures, as SVG."""

from io import StringIO
from textwrap import fill

from ablab.report.summary import Summary

_LABEL = 32  # characters of a name in a line: the rest of the figure is for the effects
# Okabe and Ito's colours, which colour-blind readers tell apart.
_BETTER, _WORSE, _UNCLEAR = "#0072B2", "#D55E00", "#777777"


def effects_plot(summary: Summary) -> str:
    """A forest plot: each change's estimate and 95 % interval, as inline SVG with a text alternative."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    shown = [e for e in summary.effects if e.estimate is not None][::-1]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ablab", "font.size": 10}):
        names = [fill(effect.name, _LABEL) for effect in shown]
        most = max((name.count("\n") for name in names), default=0)
        figure = Figure(figsize=(7, 0.9 + (0.42 + 0.16 * most) * max(1, len(shown))), layout="constrained")
        axes = figure.add_subplot()
        for row, effect in enumerate(shown):
            low, high = effect.low, effect.high
            assert effect.estimate is not None
            colour, marker = _UNCLEAR, "o"
            if low is not None and high is not None:
                colour, marker = (_BETTER, "v") if high < 0 else (_WORSE, "^") if low > 0 else (_UNCLEAR, "o")
                axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot([effect.estimate], [row], marker, color=colour, markersize=7)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(-0.6, max(1, len(shown)) - 0.4)
        axes.set_xlabel(f"effect on {summary.metric} (with minus without; left is better)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    return svg.replace("<svg", f'<svg role="img" aria-label="Effects on {summary.metric} with 95 % intervals"', 1)
