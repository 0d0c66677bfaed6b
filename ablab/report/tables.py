"""The tables of a report: texts, each with the value that it is sorted by.

All pages that show a table render it from this form.
"""

from dataclasses import dataclass

from ablab.analysis.arms import ArmSummary
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS
from ablab.records.params import parameters
from ablab.report.evidence import Evidence
from ablab.report.figures.front import measured
from ablab.report.ladder import Listing
from ablab.report.sentences import OWN_ERROR, own_error, places_of, word
from ablab.text.numbers import digits, p_value, plain, short, signed

# The markers of the forest plot as characters.
MARKS = {
    "helps": "▼",
    "hurts": "▲",
    "equivalent": "■",
    "inconclusive": "●",
    "depends": "◆",
    "diverged": "✕",
}
_MEASURED = (("decode tokens/s", "decode_tokens_per_second"), ("KV cache", "kv_cache_bytes"))


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    """Its text."""
    value: float | str | None = None
    """Value that it is sorted by; empty for none, None for its text."""
    kind: str = ""
    """Class that determines its style."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    """Its heading."""
    text: bool = False
    """Whether it is aligned to the left."""


@dataclass(frozen=True)
class Table:
    """A table of a report."""

    label: str
    """Description for readers who cannot see it."""
    columns: list[Column]
    """Its columns."""
    rows: list[list[Cell]]
    """Its rows."""


def effects_table(summary: PartSummary) -> Table:
    """Return a table of the effects with their intervals and verdicts."""
    names = ["estimate", "95 % interval", "p", "p (Holm)", "verdict"]
    effects = summary.effects_by_size
    rows = [_effect(e) for e in effects]
    if any(e.moderated for e in effects):
        names.append(OWN_ERROR)
        rows = [[*row, Cell(own_error(e))] for row, e in zip(rows, effects, strict=True)]
    columns = [Column("change", text=True), Column("kind"), *map(Column, names)]
    return Table("effects", columns, rows)


def _effect(effect: EffectSummary) -> list[Cell]:
    places = places_of(effect)
    interval = "–"
    if effect.low is not None:
        interval = f"{signed(effect.low, places)} to {signed(effect.high, places)}"
    mark = MARKS.get(effect.verdict or "", "")
    texts = (
        effect.kind,
        signed(effect.estimate, places),
        interval,
        p_value(effect.p),
        p_value(effect.p_holm),
    )
    return [
        _text(effect.title),
        *map(Cell, texts),
        Cell(f"{mark} {word(effect.verdict)}".strip(), None, effect.verdict or ""),
    ]


def parts_table(summary: StudySummary) -> Table:
    """Return a table of the changes with their effects in each part of the study.

    Interactions are only in the tables of the parts.
    """
    by_part = [
        {e.name: e for e in part.effects_by_size if e.kind != "interaction"}
        for part in summary.parts
    ]
    columns = [Column("change", text=True), *(Column(part.label) for part in summary.parts)]
    names = dict.fromkeys(name for effects in by_part for name in effects)
    rows = [[_text(name), *(_brief(effects.get(name)) for effects in by_part)] for name in names]
    return Table("changes part by part", columns, rows)


def _brief(effect: EffectSummary | None) -> Cell:
    if effect is None or effect.verdict is None:
        return Cell("–")
    if effect.estimate is None or effect.low is None:
        return Cell(f"{MARKS[effect.verdict]} {word(effect.verdict)}", None, effect.verdict)
    places = places_of(effect)
    interval = f"({signed(effect.low, places)} to {signed(effect.high, places)})"
    return Cell(
        f"{MARKS[effect.verdict]} {signed(effect.estimate, places)} {interval}",
        None,
        effect.verdict,
    )


def arms_table(summary: PartSummary) -> Table:
    """Return a table of the arms with their results, and the costs measured for at least one."""
    names = (
        "sd",
        "n",
        METRICS[summary.metric].on("test"),
        "parameters",
        "tokens",
        "FLOPs",
        "seconds",
        "tokens/s",
        "memory",
    )
    extra = [
        (name, key)
        for name, key in _MEASURED
        if any(measured(arm, key) is not None for arm in summary.arms)
    ]
    columns = [
        Column("no."),
        Column("arm", text=True),
        Column(summary.metric),
        *map(Column, names),
        *(Column(n) for n, _ in extra),
    ]
    places = digits(summary.spread)
    rows = [
        _arm(number, arm, places) + [_size(measured(arm, key)) for _, key in extra]
        for number, arm in enumerate(summary.arms, 1)
    ]
    return Table("arms", columns, rows)


def _arm(number: int, arm: ArmSummary, places: int) -> list[Cell]:
    return [
        Cell(str(number), number),
        _text(arm.name),
        mean_cell(arm, places),
        _number(arm.sd, places),
        Cell(str(arm.n), arm.n),
        _number(arm.test, places),
        _size(arm.parameters),
        _size(arm.tokens),
        _size(arm.flops),
        _number(arm.seconds, 1),
        _size(arm.tokens_per_second),
        _size(arm.peak_memory_bytes, "B"),
    ]


def mean_text(arm: ArmSummary, places: int) -> str:
    """Return an arm's mean, or why there is none."""
    return "diverged" if arm.diverged else plain(arm.mean, places)


def mean_cell(arm: ArmSummary, places: int) -> Cell:
    """Return a cell with the mean of an arm, or with the reason why there is none."""
    return Cell(
        mean_text(arm, places),
        "" if arm.mean is None else arm.mean,
        "diverged" if arm.diverged else "",
    )


def ranges_table(evidence: Evidence) -> Table:
    """Return a table of the costs in which the arms are equal or not."""
    columns = [
        Column("of a run", text=True),
        Column("least"),
        Column("most"),
        Column("between arms", text=True),
    ]
    rows = [
        [
            _text(r.name),
            Cell(r.least),
            Cell(r.most),
            Cell(r.verdict, None, "text" if r.equal else "text unequal"),
        ]
        for r in evidence.ranges
    ]
    return Table("what was equal between arms", columns, rows)


def listed_table(listing: Listing) -> Table:
    """Return a listing as a table."""
    columns = [Column(name, text=i == 0) for i, name in enumerate(listing.columns)]
    return Table(
        listing.title, columns, [[_text(first), *map(Cell, rest)] for first, *rest in listing.rows]
    )


def tuning_table(summary: PartSummary) -> Table:
    """Return a table of the tuning trials of each arm, and of the options chosen."""
    columns = [
        Column("arm", text=True),
        Column("chosen", text=True),
        Column(f"trials: {summary.metric}", text=True),
    ]
    return Table(
        "trials of tuning",
        columns,
        [_tuning(arm, digits(summary.spread)) for arm in summary.tuning],
    )


def _tuning(arm: ArmTuning, places: int) -> list[Cell]:
    trials = [
        f"{parameters(t.params)}: {t.status if t.values is None else plain(t.values[0], places)}"
        for t in arm.trials
    ]
    best = "not decided yet" if arm.best is None else parameters(arm.best) or "the study's recipe"
    edges = f" (at the edge: {', '.join(arm.edges)})" if arm.edges else ""
    return [
        _text(arm.arm),
        Cell(best + edges, None, "text edge" if edges else "text"),
        Cell("; ".join(trials), None, "list"),
    ]


def _text(text: str) -> Cell:
    return Cell(text, None, "text")


def _number(value: float | None, places: int) -> Cell:
    return Cell(plain(value, places), "" if value is None else value)


def _size(value: float | None, unit: str = "") -> Cell:
    if value is None:
        return Cell(short(value), "")
    return Cell(short(value) + unit, value)
