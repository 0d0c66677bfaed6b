"""Figures with the digits that their uncertainty warrants, and sizes in words."""

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


def short(value: float | None) -> str:
    """`1.2M`, `3.0T`; a dash for None."""
    if value is None:
        return "–"
    for unit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * unit:  # what rounds to the next unit is shown in it
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds: `2 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
