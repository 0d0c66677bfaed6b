"""Figures with the digits that their uncertainty warrants, and sizes in words."""

from collections.abc import Sequence
from itertools import pairwise
from math import floor, log10


def digits(spread: float | None) -> int:
    """Decimals that show two significant digits of `spread`; 4 where it is not known."""
    if spread is None or spread <= 0:
        return 4
    return min(6, max(1, 1 - floor(log10(spread))))


def signed(value: float | None, places: int) -> str:
    """`+0.012`; a dash for None."""
    return "–" if value is None else f"{value:+.{places}f}"


def plain(value: float | None, places: int) -> str:
    """`2.512`; a dash for None."""
    return "–" if value is None else f"{value:.{places}f}"


def p_value(p: float | None) -> str:
    """`0.012`, `<0.001`; a dash for None."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def short(value: float | None, significant: int = 3) -> str:
    """`1.2M`, `3T`, with so many significant digits; a dash for None."""
    if value is None:
        return "–"
    for unit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if (
            abs(float(f"{value:.{significant}g}")) >= unit
        ):  # what rounds to the next unit is shown in it
            return f"{value / unit:.{significant}g}{name}"
    return f"{value:.{significant}g}"


def significant_digits(ticks: Sequence[float]) -> int:
    """How many, three or more, the numbers on an axis take to stand where they say: within a
    hundredth of the space between them.
    """
    space = min((b - a for a, b in pairwise(sorted({*ticks}))), default=0.0)
    return next(
        n
        for n in range(3, 18)
        if n == 17 or all(abs(float(f"{x:.{n}g}") - x) <= 0.01 * space for x in ticks)
    )


def exact(value: float) -> str:
    """All of a number, in the fewest digits: `4096`, `4e+11`, `0.2`."""
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return next(text for n in range(1, 18) if float(text := f"{value:.{n}g}") == value)


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds: `2 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )
