"""What changes cost, in words and as a table."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from ablab.analysis.costs import COSTS, OF_ARMS, TIMED
from ablab.analysis.summary import PartSummary
from ablab.stats.costs import Ratio

_MEASURED_LEAST, _COUNTED_LEAST, _FACTOR = 0.01, 0.001, 1.25


def told(ratios: Mapping[str, Ratio]) -> str:
    """Return the ratios in words: `5 % slower per token, KV cache 1/8`.

    A timed cost is listed only if its interval excludes 1. Differences below 1 % are left out, and
    below 0.1 % for parameters and FLOPs. x % slower: x % more time; faster: more done in it.
    """
    known = {name: found.value for name, found in ratios.items() if found.value is not None}
    if not known:
        return "costs not known"
    phrases = []
    for name in COSTS:
        least = _COUNTED_LEAST if name in OF_ARMS else _MEASURED_LEAST
        value = known.get(name)
        if (
            value is not None
            and abs(value - 1) >= least
            and (name not in TIMED or ratios[name].differs)
        ):
            phrases.append(_phrase(name, value))
    if reasons := dict.fromkeys(found.why for found in ratios.values() if found.why):
        phrases += [f"costs per token not compared: {why}" for why in reasons]
    elif any(
        name in ratios and (ratios[name].value is None or ratios[name].low is None)
        for name in TIMED
    ):
        phrases.append("times not compared")
    return ", ".join(phrases) or "no difference in cost found"


def _phrase(name: str, value: float) -> str:
    factor, percent, more = _times(value), _percent(value), value > 1
    large = not 1 / _FACTOR < value < _FACTOR
    match name:
        case "seconds_per_token":
            factor = (
                f"{factor} the time per token" if more else f"{_times(1 / value)} as fast per token"
            )
            percent = (
                f"{percent} slower per token" if more else f"{_percent(1 / value)} faster per token"
            )
        case "decode_tokens_per_second":
            factor = percent = f"decodes at {value:.2f} × the speed"
        case "peak_memory_bytes":
            factor, percent = (
                f"{factor} the memory",
                f"{percent} {'more' if more else 'less'} memory",
            )
        case "kv_cache_bytes":
            factor, percent = (
                f"KV cache {factor}",
                f"KV cache {percent} {'larger' if more else 'smaller'}",
            )
        case _:
            what = "parameters" if name == "parameters" else "FLOPs per token"
            factor, percent = f"{what} {factor}", f"{what} {'+' if more else '-'}{percent}"
    return factor if large else percent


def _percent(value: float) -> str:
    change = 100 * abs(value - 1)
    return f"{change:.0f} %" if change >= 0.95 else f"{change:.1f} %"


def _times(value: float) -> str:
    """`1.4 ×`, `1/8`, `0.41 ×`."""
    below = round(1 / value)
    if below > 1 and abs(1 / value / below - 1) < 0.01:
        return f"{'' if below < 10_000 else 'under '}1/{min(below, 10_000)}"
    return f"{value:.2g} ×" if value < 99.5 else f"{value:.0f} ×"


def costs_table(summary: PartSummary) -> Table:
    """What each change costs: the cost with it over that without."""
    title = "Costs, with over without (in brackets: not distinguishable from 1)"
    table = Table(title=title, title_justify="left")
    table.add_column("change", overflow="fold", ratio=1)
    shown = {
        "seconds_per_token": "s/token",
        "peak_memory_bytes": "memory",
        "decode_tokens_per_second": "decode",
        "kv_cache_bytes": "KV cache",
        "parameters": "params",
    }
    for heading in shown.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for effect in (effect for effect in summary.effects if effect.costs):
        ratios = effect.ratios
        table.add_row(
            escape(effect.title), *(_cell(name, ratios.get(name, Ratio(None))) for name in shown)
        )
    return table


def _cell(name: str, found: Ratio) -> str:
    if found.value is None:
        return "–"
    text = f"×{found.value:#.3g}" if found.value < 999.5 else f"×{found.value:.0f}"
    return f"({text})" if name in TIMED and not found.differs else text
