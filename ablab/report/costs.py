"""The costs of changes, in words and as a table."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from ablab.analysis.costs import COSTS, OF_ARMS
from ablab.analysis.summary import PartSummary
from ablab.analysis.timings import TIMED
from ablab.stats.costs import Ratio
from ablab.text.fitting_table import FittingTable

# Smaller relative differences are not mentioned.
_MIN_MEASURED = 0.01
_MIN_COUNTED = 0.001
# A ratio beyond this factor is stated as a factor, others as a percentage.
_MIN_FACTOR = 1.25
_COUNTED = {"parameters": "parameters", "flops_per_token": "FLOPs per token"}


def cost_phrases(ratios: Mapping[str, Ratio]) -> str:
    """Return the ratios in words: `5 % slower per token, KV cache 1/8`.

    A timed cost is listed only if its interval excludes 1. Differences below 1 % are left out, and
    below 0.1 % for parameters and FLOPs. `x % slower` stands for x % more time, and `x % faster`
    for x % more work in the same time.
    """
    values = {name: ratio.value for name, ratio in ratios.items() if ratio.value is not None}
    if not values:
        return "costs not known"
    phrases = []
    for name in COSTS:
        if name not in values or (name in TIMED and not ratios[name].differs):
            continue
        minimum = _MIN_COUNTED if name in OF_ARMS else _MIN_MEASURED
        if abs(values[name] - 1) >= minimum:
            phrases.append(_phrase(name, values[name]))
    reasons = dict.fromkeys(ratio.why for ratio in ratios.values() if ratio.why)
    if reasons:
        phrases += [f"costs per token not compared: {why}" for why in reasons]
    elif any(
        name in ratios and (ratios[name].value is None or ratios[name].low is None)
        for name in TIMED
    ):
        phrases.append("times not compared")
    return ", ".join(phrases) or "no difference in cost found"


def _phrase(name: str, value: float) -> str:
    if 1 / _MIN_FACTOR < value < _MIN_FACTOR:
        return _percent_phrase(name, value)
    return _factor_phrase(name, value)


def _factor_phrase(name: str, value: float) -> str:
    match name:
        case "seconds_per_token" if value > 1:
            return f"{_times(value)} the time per token"
        case "seconds_per_token":
            return f"{_times(1 / value)} as fast per token"
        case "decode_tokens_per_second":
            return _decode_phrase(value)
        case "peak_memory_bytes":
            return f"{_times(value)} the memory"
        case "kv_cache_bytes":
            return f"KV cache {_times(value)}"
        case _:
            return f"{_COUNTED[name]} {_times(value)}"


def _percent_phrase(name: str, value: float) -> str:
    more = value > 1
    match name:
        case "seconds_per_token" if more:
            return f"{_percent(value)} slower per token"
        case "seconds_per_token":
            return f"{_percent(1 / value)} faster per token"
        case "decode_tokens_per_second":
            return _decode_phrase(value)
        case "peak_memory_bytes":
            return f"{_percent(value)} {'more' if more else 'less'} memory"
        case "kv_cache_bytes":
            return f"KV cache {_percent(value)} {'larger' if more else 'smaller'}"
        case _:
            return f"{_COUNTED[name]} {'+' if more else '-'}{_percent(value)}"


def _decode_phrase(value: float) -> str:
    return f"decodes at {value:.2f} × the speed"


def _percent(value: float) -> str:
    change = 100 * abs(value - 1)
    return f"{change:.0f} %" if change >= 0.95 else f"{change:.1f} %"


def _times(value: float) -> str:
    """Format a factor, as `1.4 ×`, `1/8` or `0.41 ×`."""
    divisor = round(1 / value)
    if divisor > 1 and abs(1 / value / divisor - 1) < 0.01:
        return f"1/{divisor}" if divisor < 10_000 else "under 1/10000"
    return f"{value:.2g} ×" if value < 99.5 else f"{value:.0f} ×"


def costs_table(summary: PartSummary) -> Table:
    """Return a table of the cost with each change divided by the cost without it."""
    title = "Costs, with over without (in brackets: not distinguishable from 1)"
    table = FittingTable(title=title, title_justify="left")
    table.add_column("change", overflow="fold", ratio=1)
    headings = {
        "seconds_per_token": "s/token",
        "peak_memory_bytes": "memory",
        "decode_tokens_per_second": "decode",
        "kv_cache_bytes": "KV cache",
        "parameters": "params",
    }
    for heading in headings.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for effect in (effect for effect in summary.effects_by_size if effect.costs):
        ratios = effect.ratios
        cells = [short_ratio(name, ratios.get(name)) for name in headings]
        table.add_row(escape(effect.title), *cells)
    return table


def short_ratio(name: str, ratio: Ratio | None) -> str:
    """Return a ratio as a cell of a table, in brackets if it is not distinguishable from 1."""
    if ratio is None or ratio.value is None:
        return "–"
    text = f"×{ratio.value:#.3g}" if ratio.value < 999.5 else f"×{ratio.value:.0f}"
    return f"({text})" if name in TIMED and not ratio.differs else text
