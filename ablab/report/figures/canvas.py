"""The basis of all figures: colours, sizes, and conversion to inline SVG or a file."""

import csv
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

WIDTH = 5.0  # inches: on a phone of 390 pixels, letters are still 10 pixels high
# The palette of Okabe and Ito, which colour-blind readers can distinguish.
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY = "#56b4e9"
INK = "#1a1a1b"
MUTED = "#6a6a6b"
GRID = "#d8d8d9"
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
# Colour and shape are redundant, so that either is enough.
MARKS: Mapping[str | None, tuple[str, str]] = {
    "helps": (BLUE, "v"),
    "hurts": (VERMILION, "^"),
    "equivalent": (GREEN, "s"),
    "inconclusive": (MUTED, "o"),
    "depends": (PURPLE, "D"),
}
UNKNOWN = (MUTED, "d")
# On the page these are CSS variables, so that the palette is lighter on a dark background.
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
# Fallbacks for letters that the default font of matplotlib lacks, if they are installed.
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
_ID = re.compile(r' id="([^"]+)"')


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure of a report."""

    name: str
    """Name of its files."""
    title: str
    """A short title."""
    alternative: str
    """Text alternative for readers who cannot see it."""
    figure: Any
    """The figure of matplotlib."""
    caption: str = ""
    """Caption that explains it."""
    rows: Sequence[Mapping[str, Any]] = ()
    """What is drawn, one row for each mark. All rows have the same columns."""

    @property
    def inline(self) -> str:
        """SVG element for a page, transparent and in the colours of the page."""
        svg = self._drawn
        for colour, variable in _VARIABLES.items():
            svg = svg.replace(colour, variable)
        return svg

    @property
    def svg(self) -> str:
        """Content of an SVG file, on white."""
        head, title, rest = self._drawn.partition("</title>")
        background = '\n <rect width="100%" height="100%" fill="#fff"/>'
        return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{title}{background}{rest}'

    @cached_property
    def csv(self) -> str:
        """Content of a CSV file: `rows` with all digits; missing values are empty."""
        out = StringIO()
        writer = csv.DictWriter(out, list(self.rows[0]) if self.rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    @property
    def png(self) -> bytes:
        """Content of a PNG file, on white."""
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
    """Yield an empty matplotlib figure, `height` and `width` in inches.

    The constrained layout is applied when the block ends.
    """
    with bare_drawing(height, width) as figure:
        figure.set_layout_engine("constrained")
        yield figure
        # Once, and not again for every file: the layout takes longer than drawing.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")


@contextmanager
def bare_drawing(height: float, width: float = WIDTH) -> Iterator[Any]:
    """Yield an empty matplotlib figure whose layout is set by the caller."""
    from matplotlib.figure import Figure

    with _settings(""):
        yield Figure(figsize=(width, height))


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    import matplotlib as mpl

    settings = {**_RC, "svg.hashsalt": salt or "ablab", "font.family": _families()}
    with mpl.rc_context(cast(Any, settings)), warnings.catch_warnings():
        # A letter that no installed font has is a box in a PNG; an SVG uses the reader's fonts.
        warnings.filterwarnings(
            "ignore", r"Glyph .* missing from|Matplotlib currently does not support"
        )
        yield


@cache
def _families() -> list[str]:
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return ["DejaVu Sans", *(name for name in _MORE_FONTS if name in installed)]


def _tidy(svg: str, plot: Plot) -> str:
    """Return the `<svg>` element with a text alternative.

    Ids that nothing refers to are removed; the others get the name of the figure as a prefix.
    """
    svg = _FONT.sub(r"\1 system-ui, sans-serif", svg[svg.index("<svg") :])
    svg = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def with_prefix(match: re.Match[str]) -> str:
        return f' id="{plot.name}-{match[1]}"' if match[1] in references else ""

    svg = _ID.sub(with_prefix, svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{plot.name}-", svg)
    label = escape(plot.alternative)
    head = f'<svg role="img" aria-label="{label}"'
    svg = svg.replace("<svg", head, 1)
    end = svg.index(">") + 1
    return f"{svg[:end]}\n <title>{label}</title>{svg[end:]}"


def reach(lows: list[float], highs: list[float], share: float = 0.06) -> tuple[float, float]:
    """Return the limits of an axis that shows all intervals, with a margin."""
    low = min(lows)
    high = max(highs)
    room = share * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def in_sizes(axis: Any) -> None:
    """Label an axis of matplotlib with sizes such as `1.005M`, with as many digits as its ticks
    need.
    """
    axis.set_major_formatter(
        lambda value, _: short(value, significant_digits(axis.get_majorticklocs()))
    )


def folded(name: str, width: int, lines: int = 6) -> str:
    """Return a name wrapped to lines of at most `width` letters, or half as many if it has wide
    letters (East Asian). The rest is cut; the tables have it in full.
    """
    wide = any(east_asian_width(letter) in "WF" for letter in name)
    return fill(name, width // 2 if wide else width, max_lines=lines, placeholder=" …")


def legend(figure: Any, entries: Sequence[tuple[Any, str]], **place: Any) -> None:
    """Add a legend of (handle, label) pairs.

    Labels are set afterwards, since matplotlib omits those that begin with an underscore.
    """
    box = figure.legend([handle for handle, _ in entries], [" "] * len(entries), **place)
    for text, (_, label) in zip(box.get_texts(), entries, strict=True):
        text.set_text(label)
