"""The answer to an idea in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.ideas.card import Card, ContextEffect
from ablab.ideas.ledger import ALPHA, Entry
from ablab.report.costs import cost_phrases
from ablab.stats.costs import Ratio
from ablab.text.axis import Axis
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import interval_digits, signed

_WIDTH = 17  # of an interval's picture, in characters; odd, so that zero has one of its own
_STYLES = {"keep": "bold green", "discard": "bold red", "inconclusive": "bold yellow"}


def print_card(card: Card, console: Console) -> None:
    """Print the decision, the effects with their costs, and where to look further."""
    style = _STYLES[card.decision]
    console.print(f"[{style}]{card.decision}[/]: {escape(card.idea)}", highlight=False)
    console.print(_effects(card))
    lines = [_legend(card), *_cost_lines(card), *card.notes]
    lines += [f"what would settle it: {line}" for line in card.settle]
    lines += [_rule(card), *([f"report: {card.report}"] if card.report else [])]
    for line in [*lines, f"the same again: {card.command}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _legend(card: Card) -> str:
    seeds = " and ".join(str(n) for n in dict.fromkeys(effect.seeds for effect in card.effects))
    legend = (
        f"{card.metric} over {seeds} seeds, with the idea minus without it: {card.better} is better"
    )
    if card.margin is None:
        return legend
    return f"{legend}; ┊ marks the margin of ±{card.margin:.2g}"


def _rule(card: Card) -> str:
    """Return the place of an idea in the ledger, and what its level was."""
    return (
        f"idea {card.number} of the ledger, kept if its one-sided p is below {card.level:.2g} "
        f"({card.discoveries} kept before it; false discovery rate at most {100 * ALPHA:.0f} %)"
    )


def print_ledger(entries: Sequence[Entry], console: Console) -> None:
    """Print all ideas of a ledger, one line for each."""
    table = FittingTable(title_justify="left", padding=(0, 1), pad_edge=False)
    table.add_column("no.", justify="right", no_wrap=True)
    table.add_column("idea", overflow="fold", ratio=1)
    table.add_column("effects", overflow="fold", ratio=2)
    table.add_column("level", justify="right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    for entry in entries:
        effects = "\n".join(
            f"{context}: {_effect_text(effect)}" for context, effect in entry.effects.items()
        )
        table.add_row(
            str(entry.number),
            escape(entry.attempt.change),
            escape(effects or f"not known yet ({entry.study})"),
            f"{entry.level:.2g}",
            entry.decision or "–",
        )
    console.print(table)
    kept = sum(entry.decision == "keep" for entry in entries)
    console.print(
        f"{len(entries)} ideas, {kept} kept. Levels are those of LOND: of the ideas that are kept, "
        f"at most {100 * ALPHA:.0f} % are expected to have no effect.",
        highlight=False,
        markup=False,
    )


def _effect_text(effect: Mapping[str, Any]) -> str:
    low, high = effect["low"], effect["high"]
    if effect["estimate"] is None:
        return effect["verdict"] or "–"
    places = interval_digits(low, high)
    interval = f" ({signed(low, places)} to {signed(high, places)})" if low is not None else ""
    return f"{signed(effect['estimate'], places)}{interval}, {effect['verdict'] or '–'}"


def _effects(card: Card) -> Table:
    table = FittingTable(box=None, padding=(0, 1), pad_edge=False, show_header=False)
    table.add_column("context", overflow="fold", ratio=1)
    for name in ("effect", "interval", "picture", "verdict"):
        table.add_column(name, no_wrap=True)
    axis = _axis(card)
    for effect in card.effects:
        places = interval_digits(effect.low, effect.high)
        interval = ""
        if effect.low is not None:
            interval = f"{signed(effect.low, places)} … {signed(effect.high, places)}"
        table.add_row(
            escape(f"in {effect.context}"),
            signed(effect.estimate, places),
            interval,
            picture(effect, card.margin, axis),
            effect.verdict or "–",
        )
    return table


def _axis(card: Card) -> Axis:
    """Return the axis of the pictures, with zero in its middle."""
    ends = [abs(end) for e in card.effects for end in (e.low, e.high) if end is not None]
    reach = max([*ends, 2 * (card.margin or 0.0)]) or 1.0
    return Axis(-reach, reach, _WIDTH)


def picture(effect: ContextEffect, margin: float | None, axis: Axis) -> str:
    """Return an interval as a line of characters, with zero and the margin."""
    cells = ["·"] * axis.width
    for value, character in ((0.0, "│"), (margin, "┊"), (-margin if margin else None, "┊")):
        if value is not None:
            cells[axis.column(value)] = character
    if effect.low is not None and effect.high is not None and effect.estimate is not None:
        for column in range(axis.column(effect.low), axis.column(effect.high) + 1):
            cells[column] = "━"
        cells[axis.column(effect.estimate)] = "●"
    return "".join(cells)


def _cost_lines(card: Card) -> list[str]:
    lines = []
    for effect in card.effects:
        ratios = {name: Ratio(**cost.model_dump()) for name, cost in effect.costs.items()}
        if any(ratio.value is not None for ratio in ratios.values()):
            lines.append(f"cost in {effect.context}: {cost_phrases(ratios)}")
    return lines
