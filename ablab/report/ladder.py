"""The ladder of a study in several parts: tables and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from ablab.text.numbers import digits, p_value, plain, short, signed

_UNEQUAL = 0.05
_MUCH = 1000.0  # times: from there on a multiplier says no more than that
_TENFOLD = log(10)


@dataclass(frozen=True)
class Listing:
    """A table in words: its title, the heads of its columns, and its rows."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def ladder_listings(told: Mapping[str, Any]) -> list[Listing]:
    """The tables of `ladder`."""
    found = []
    if foretold := [one for one in told["outlooks"] if one["held"] is not None]:
        last, following = (short(foretold[0][name]["compute"]) for name in ("held", "next"))
        columns = ["change", f"foretold at {last}", "came", "inside", f"forecast at {following}"]
        title = (
            "Effects up the ladder: the largest rung foretold from the others, and the next from "
            "all (95 % intervals)"
        )
        found.append(Listing(title, columns, [_outlook_row(one) for one in foretold]))
    if told["curves"]:
        rows = [[one["arm"], _formula(one), _bend(one)] for one in told["curves"]]
        title = (
            "Loss against training FLOPs C (least squares, seeds as blocks; an exponent's "
            "interval by the delta method)"
        )
        found.append(Listing(title, ["arm", "curve", "slope or exponent, 95 %"], rows))
    if rows := [_multiplier_row(one) for one in _shown(told["multipliers"])]:
        title = "How many times its compute the baseline would need for the arm's loss"
        found.append(Listing(title, ["arm", "at", "multiplier", "95 % interval"], rows))
    return found


def ladder_lines(told: Mapping[str, Any]) -> list[str]:
    """What to know beside the tables."""
    said = [told["unlike"]] if told["unlike"] else []
    for one in told["outlooks"]:
        if one["reason"]:
            said.append(f"{one['change']}: no forecast: {one['reason']}")
        elif one["kind"] != "interaction":
            places = digits(None if one["low"] is None else (one["high"] - one["low"]) / 2)
            interval = (
                ""
                if one["low"] is None
                else f" ({signed(one['low'], places)} to {signed(one['high'], places)})"
            )
            misfit = (
                ""
                if one["misfit"] is None
                else f"; p that the rungs lie on no straight line {p_value(one['misfit'])}"
            )
            said.append(
                f"{one['change']}: {signed(one['slope'], places)} per tenfold "
                f"compute{interval}{misfit}"
            )
        if one["unequal"] is not None and one["unequal"] < _UNEQUAL:
            said.append(
                f"{one['change']}: its spread is not the same on all rungs, so its intervals "
                "may be too narrow on some"
            )
    if any(one["held"] is not None for one in told["outlooks"]):
        said.append(
            "forecasts: a straight line of the effect in log compute, paired within seeds; an "
            "interval is that of the mean of as "
            "many new seeds as the largest rung has"
        )
    if any(one["value"] is not None for one in told["multipliers"]):
        said.append(
            "multipliers: the baseline's curve, inverted; Fieller's interval for a straight "
            "line, the delta method else"
        )
    return said


def _shown(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each arm that on the largest rung; where it can't be told there, the last that can be
    behind it.
    """
    rows = []
    for arm in dict.fromkeys(one["arm"] for one in found):
        own = [one for one in found if one["arm"] == arm]
        earlier = [one for one in own[:-1] if one["value"] is not None]
        rows += own[-1:] if own[-1]["value"] is not None else [own[-1], *earlier[-1:]]
    return rows


def _outlook_row(one: Mapping[str, Any]) -> list[str]:
    held, following = one["held"], one["next"]
    inside = "–" if one["inside"] is None else "yes" if one["inside"] else "no"
    places = digits(None if held["low"] is None else (held["high"] - held["low"]) / 2)
    return [
        one["change"],
        _interval(held),
        signed(one["came"], places),
        inside,
        _interval(following),
    ]


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{signed(found['estimate'], 4)} (no interval)"
    places = digits((found["high"] - found["low"]) / 2)
    return f"{signed(found['low'], places)} … {signed(found['high'], places)}"


def _formula(one: Mapping[str, Any]) -> str:
    """The curve, told from the largest compute it was fitted on."""
    at, told = one["highest"], one["parameters"]
    if one["form"] == "log_linear":
        return (
            f"{one['loss_at_highest']:.3f} {_TENFOLD * told['slope']:+.3f} · log10(C / {short(at)})"
        )
    scale = told["scale"] * at ** -told["exponent"]
    return f"{told['floor']:.3f} + {scale:.3f} · (C / {short(at)})^-{told['exponent']:.3f}"


def _bend(one: Mapping[str, Any]) -> str:
    """The interval of the slope per tenfold compute, or of the exponent."""
    name, unit = ("slope", _TENFOLD) if one["form"] == "log_linear" else ("exponent", 1.0)
    if name not in one["intervals"]:
        return "–"
    low, high = (end * unit for end in one["intervals"][name])
    places = digits((high - low) / 2)
    return f"{plain(low, places)} … {plain(high, places)}"


def _multiplier_row(one: Mapping[str, Any]) -> list[str]:
    if one["value"] is None:
        return [one["arm"], one["part"], "–", one["reason"]]
    return [
        one["arm"],
        one["part"],
        _times(one["value"]),
        f"{_times(one['low'])} … {_times(one['high'])}",
    ]


def _times(value: float | None) -> str:
    return f"> {_MUCH:g}" if value is not None and value > _MUCH else plain(value, 2)
