"""Numbers as text, with as many digits as their uncertainty warrants."""

from collections.abc import Sequence
from itertools import pairwise
from math import floor, log10


def digits(spread: float | None) -> int:
    """Return the number of decimals that shows two significant digits of `spread`; 4 if unknown."""
    if spread is None or spread <= 0:
        return 4
    return min(6, max(1, 1 - floor(log10(spread))))


def interval_digits(low: float | None, high: float | None) -> int:
    """Return the number of decimals that an interval warrants; 4 if it is not known."""
    return digits(None if low is None or high is None else (high - low) / 2)


def signed(value: float | None, places: int) -> str:
    """Format a number with its sign, as `+0.012`; a dash for None."""
    return "–" if value is None else f"{value:+.{places}f}"


def plain(value: float | None, places: int) -> str:
    """Format a number, as `2.512`; a dash for None."""
    return "–" if value is None else f"{value:.{places}f}"


def p_value(p: float | None) -> str:
    """Format a p-value, as `0.012` or `<0.001`; a dash for None."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_equation(p: float | None) -> str:
    """Format a p-value behind its letter, as `= 0.012` or `< 0.001`."""
    text = p_value(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def short(value: float | None, significant: int = 3) -> str:
    """Format a size with a unit prefix, as `1.2M` or `3T`; a dash for None."""
    if value is None:
        return "–"
    # A value that rounds up to the next unit is shown in that unit.
    rounded = abs(float(f"{value:.{significant}g}"))
    for unit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rounded >= unit:
            return f"{value / unit:.{significant}g}{name}"
    return f"{value:.{significant}g}"


def significant_digits(ticks: Sequence[float]) -> int:
    """Return the number of significant digits, at least three, that the labels of an axis need.

    Each label is then within a hundredth of the tick spacing of the position it names.
    """
    space = min((b - a for a, b in pairwise(sorted({*ticks}))), default=0.0)
    return next(
        n
        for n in range(3, 18)
        if n == 17 or all(abs(float(f"{x:.{n}g}") - x) <= 0.01 * space for x in ticks)
    )


def exact(value: float) -> str:
    """Format a number exactly in the fewest digits, as `4096`, `4e+11` or `0.2`."""
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    texts = (f"{value:.{n}g}" for n in range(1, 18))
    return next(text for text in texts if float(text) == value)


def duration(seconds: float) -> str:
    """Format a duration in hours and minutes, or in minutes and seconds, as `2 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{rest} s"
