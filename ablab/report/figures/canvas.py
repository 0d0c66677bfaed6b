"""What all figures share: colours, sizes, and how a figure becomes inline SVG or a file."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from html import escape
from io import BytesIO, StringIO
from textwrap import fill
from typing import Any, cast
from unicodedata import east_asian_width

from ablab.text.numbers import short, significant_digits

WIDTH = 5.0  # inches: at a phone's 390 pixels the letters are still 10 pixels high
# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)
INK, MUTED, GRID = "#1a1a1b", "#6a6a6b", "#d8d8d9"
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
# Colour and shape say the same, so that either is enough.
MARKS: Mapping[str | None, tuple[str, str]] = {
    "helps": (BLUE, "v"),
    "hurts": (VERMILION, "^"),
    "equivalent": (GREEN, "s"),
    "inconclusive": (MUTED, "o"),
}
UNKNOWN = (MUTED, "d")
# In the page the scheme decides what these are; Okabe and Ito's have a lighter variant on dark
# ground.
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    BLUE: "var(--blue)",
    VERMILION: "var(--vermilion)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
    ORANGE: "var(--orange)",
    SKY: "var(--sky)",
}
_RC: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.color": MUTED,
    "hatch.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
}
# What has the letters that matplotlib's own font lacks, where the machine has it.
_MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans",
)
_FONT = re.compile(r"(font: (?:[\w.]+ )*[\d.]+px) [^;\"]+")
_NAMED = re.compile(r' id="([^"]+)"')


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure. `name`: of its files. `title`: a few words. `alternative`: what it shows, for who
    cannot see it. `caption`: what a reader must know beside it.
    """

    name: str
    title: str
    alternative: str
    figure: Any
    caption: str = ""

    @property
    def inline(self) -> str:
        """SVG for a page: on its ground, in its colours."""
        svg = self._drawn
        for colour, variable in _VARIABLES.items():
            svg = svg.replace(colour, variable)
        return svg

    @property
    def svg(self) -> str:
        """An SVG file, on white."""
        head, title, rest = self._drawn.partition("</title>")
        ground = '\n <rect width="100%" height="100%" fill="#fff"/>'
        return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{title}{ground}{rest}'

    @property
    def png(self) -> bytes:
        """A PNG file, on white."""
        out = BytesIO()
        with _settings(self.name):
            self.figure.savefig(
                out, format="png", dpi=144, facecolor="white", metadata={"Software": None}
            )
        return out.getvalue()

    @cached_property
    def _drawn(self) -> str:
        out = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with _settings(self.name):
            self.figure.savefig(out, format="svg", metadata=nothing, transparent=True)
        return _tidy(out.getvalue(), self)


@contextmanager
def drawing(height: float, width: float = WIDTH) -> Iterator[Any]:
    """An empty matplotlib figure, `height` and `width` in inches, laid out when the block ends."""
    with bare_drawing(height, width) as figure:
        figure.set_layout_engine("constrained")
        yield figure
        # Once, and not again for every file: it takes longer than drawing.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")


@contextmanager
def bare_drawing(height: float, width: float = WIDTH) -> Iterator[Any]:
    """The same for a figure that is laid out by hand."""
    from matplotlib.figure import Figure

    with _settings(""):
        yield Figure(figsize=(width, height))


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    import matplotlib as mpl

    own = {**_RC, "svg.hashsalt": salt or "ablab", "font.family": _families()}
    with mpl.rc_context(cast(Any, own)), warnings.catch_warnings():
        # A letter that no font here has is a box in a PNG; an SVG takes the reader's fonts.
        warnings.filterwarnings(
            "ignore", r"Glyph .* missing from|Matplotlib currently does not support"
        )
        yield


@cache
def _families() -> list[str]:
    from matplotlib.font_manager import get_font_names

    there = set(get_font_names())
    return ["DejaVu Sans", *(name for name in _MORE_FONTS if name in there)]


def _tidy(svg: str, plot: Plot) -> str:
    """The element alone, with its text alternative; ids that nothing refers to are dropped, others
    are the figure's own.
    """
    svg = _FONT.sub(r"\1 system-ui, sans-serif", svg[svg.index("<svg") :])
    svg = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = _NAMED.sub(lambda found: f' id="{plot.name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{plot.name}-", svg)
    label = escape(plot.alternative)
    head = f'<svg role="img" aria-label="{label}"'
    svg = svg.replace("<svg", head, 1)
    end = svg.index(">") + 1
    return f"{svg[:end]}\n <title>{label}</title>{svg[end:]}"


def reach(lows: list[float], highs: list[float], share: float = 0.06) -> tuple[float, float]:
    """The limits of an axis that shows all of it, with a margin."""
    low, high = min(lows), max(highs)
    room = share * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def in_sizes(axis: Any) -> None:
    """Labels an axis of matplotlib's in sizes (`1.005M`), with as many digits as its ticks take to
    stand where they say.
    """
    axis.set_major_formatter(
        lambda value, _: short(value, significant_digits(axis.get_majorticklocs()))
    )


def folded(name: str, width: int, lines: int = 6) -> str:
    """A name in lines of at most `width` letters, half as many where they are twice as wide. What
    is left of it is cut: the tables have it in full.
    """
    wide = any(east_asian_width(letter) in "WF" for letter in name)
    return fill(name, width // 2 if wide else width, max_lines=lines, placeholder=" …")


def legend(figure: Any, entries: Sequence[tuple[Any, str]], **place: Any) -> None:
    """A legend of (handle, label). Labels are set afterwards, since matplotlib leaves out those
    that begin with an underscore.
    """
    made = figure.legend([handle for handle, _ in entries], [" "] * len(entries), **place)
    for text, (_, label) in zip(made.get_texts(), entries, strict=True):
        text.set_text(label)
