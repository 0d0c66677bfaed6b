"""The ladder of a study with several parts: tables and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from ablab.analysis.across.ladder import ArmCurve, ArmMultiplier, EffectOutlook, Ladder
from ablab.stats.scaling.extrapolation import Forecast
from ablab.text.numbers import digits, p_value, plain, short, signed

_UNEQUAL = 0.05
_MAX_MULTIPLIER = 1000.0  # a larger one is shown as `> 1000`
_TENFOLD = log(10)


@dataclass(frozen=True)
class Listing:
    """A table in words."""

    title: str
    """Its title."""
    columns: list[str]
    """Names of its columns."""
    rows: list[list[str]]
    """Its rows."""


def ladder_listings(ladder: Ladder) -> list[Listing]:
    """Return the tables of a ladder."""
    return [
        listing
        for listing in (_forecasts(ladder), _curves(ladder), _multipliers(ladder))
        if listing.rows
    ]


def _forecasts(ladder: Ladder) -> Listing:
    outlooks = [one for one in ladder.outlooks if one.outlook.held is not None]
    heads = ["", ""]
    if outlooks:
        forecasts = (outlooks[0].outlook.held, outlooks[0].outlook.next)
        heads = [short(forecast.compute) if forecast else "–" for forecast in forecasts]
    return Listing(
        "Effects along the ladder: the largest rung predicted from the others, the next from all "
        "(95 % intervals)",
        ["change", f"predicted at {heads[0]}", "measured", "inside", f"forecast at {heads[1]}"],
        [_outlook_row(one) for one in outlooks],
    )


def _curves(ladder: Ladder) -> Listing:
    return Listing(
        "Loss against training FLOPs C (least squares, seeds as blocks; an exponent's interval by "
        "the delta method)",
        ["arm", "curve", "slope or exponent, 95 %"],
        [[one.arm, _formula(one), _bend(one)] for one in ladder.curves],
    )


def _multipliers(ladder: Ladder) -> Listing:
    return Listing(
        "How many times its compute the baseline would need for the arm's loss",
        ["arm", "at", "multiplier", "95 % interval"],
        [_multiplier_row(one) for one in _last_multipliers(ladder.multipliers)],
    )


def ladder_lines(ladder: Ladder) -> list[str]:
    """Return what to know beside the tables."""
    lines = [ladder.unlike] if ladder.unlike else []
    for one in ladder.outlooks:
        lines += _outlook_lines(one)
    if any(one.outlook.held is not None for one in ladder.outlooks):
        lines.append(
            "forecasts: a straight line of the effect in log compute, paired within seeds; an "
            "interval is that of the mean of as many new seeds as the largest rung has"
        )
    if any(one.multiplier.value is not None for one in ladder.multipliers):
        lines.append(
            "multipliers: the baseline's curve, inverted; Fieller's interval for a straight line, "
            "the delta method else"
        )
    return lines


def _outlook_lines(one: EffectOutlook) -> list[str]:
    outlook = one.outlook
    lines = []
    if outlook.reason:
        lines.append(f"{one.change}: no forecast: {outlook.reason}")
    elif one.kind != "interaction":
        lines.append(f"{one.change}: {_slope(one)}")
    if outlook.unequal is not None and outlook.unequal < _UNEQUAL:
        lines.append(
            f"{one.change}: its spread is not the same on all rungs, so its intervals may be too "
            "narrow on some"
        )
    return lines


def _slope(one: EffectOutlook) -> str:
    outlook = one.outlook
    interval = ""
    places = digits(None)
    if outlook.low is not None and outlook.high is not None:
        places = digits((outlook.high - outlook.low) / 2)
        interval = f" ({signed(outlook.low, places)} to {signed(outlook.high, places)})"
    misfit = ""
    if outlook.misfit is not None:
        misfit = f"; p that the rungs lie on no straight line {p_value(outlook.misfit)}"
    return f"{signed(outlook.slope, places)} per tenfold compute{interval}{misfit}"


def _last_multipliers(multipliers: Sequence[ArmMultiplier]) -> list[ArmMultiplier]:
    """Return the multiplier of each arm on the largest rung, and the last known one if it is
    unknown there.
    """
    rows = []
    for arm in dict.fromkeys(one.arm for one in multipliers):
        of_arm = [one for one in multipliers if one.arm == arm]
        rows.append(of_arm[-1])
        if of_arm[-1].multiplier.value is None:
            rows += [one for one in of_arm[:-1] if one.multiplier.value is not None][-1:]
    return rows


def _outlook_row(one: EffectOutlook) -> list[str]:
    outlook = one.outlook
    assert outlook.held is not None
    places = digits(_half(outlook.held))
    inside = "–"
    if outlook.inside is not None:
        inside = "yes" if outlook.inside else "no"
    return [
        one.change,
        _interval(outlook.held),
        signed(outlook.came, places),
        inside,
        _interval(outlook.next),
    ]


def _half(forecast: Forecast) -> float | None:
    """Return half the width of the interval."""
    if forecast.low is None or forecast.high is None:
        return None
    return (forecast.high - forecast.low) / 2


def _interval(forecast: Forecast | None) -> str:
    if forecast is None:
        return "–"
    half = _half(forecast)
    if half is None:
        return f"{signed(forecast.estimate, 4)} (no interval)"
    places = digits(half)
    return f"{signed(forecast.low, places)} … {signed(forecast.high, places)}"


def _formula(one: ArmCurve) -> str:
    """Return the curve, relative to the largest compute it was fitted on."""
    curve = one.curve
    at = curve.highest
    values = curve.parameters
    if curve.form == "log_linear":
        slope = _TENFOLD * values["slope"]
        return f"{curve.at(at):.3f} {slope:+.3f} · log10(C / {short(at)})"
    scale = values["scale"] * at ** -values["exponent"]
    return f"{values['floor']:.3f} + {scale:.3f} · (C / {short(at)})^-{values['exponent']:.3f}"


def _bend(one: ArmCurve) -> str:
    """Return the interval of the slope per tenfold compute, or that of the exponent."""
    linear = one.curve.form == "log_linear"
    interval = one.curve.intervals().get("slope" if linear else "exponent")
    if interval is None:
        return "–"
    low, high = (end * (_TENFOLD if linear else 1.0) for end in interval)
    places = digits((high - low) / 2)
    return f"{plain(low, places)} … {plain(high, places)}"


def _multiplier_row(one: ArmMultiplier) -> list[str]:
    multiplier = one.multiplier
    if multiplier.value is None:
        return [one.arm, one.part, "–", multiplier.reason]
    interval = f"{_times(multiplier.low)} … {_times(multiplier.high)}"
    return [one.arm, one.part, _times(multiplier.value), interval]


def _times(value: float | None) -> str:
    if value is not None and value > _MAX_MULTIPLIER:
        return f"> {_MAX_MULTIPLIER:g}"
    return plain(value, 2)
