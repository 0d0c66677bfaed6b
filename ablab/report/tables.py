"""The tables of a report, as text with what it is sorted by: one form for every page that shows
them.
"""

from dataclasses import dataclass

from ablab.analysis.arms import ArmSummary
from ablab.analysis.effects import EffectSummary
from ablab.analysis.study_summary import StudySummary
from ablab.analysis.summary import PartSummary
from ablab.analysis.trials import ArmTuning
from ablab.metrics import METRICS
from ablab.records.params import parameters
from ablab.report.evidence import Evidence
from ablab.report.figures.front import measured
from ablab.report.ladder import Listing
from ablab.report.sentences import places_of, word
from ablab.text.numbers import digits, p_value, plain, short, signed

# The shapes of the forest plot, in letters.
MARKS = {"helps": "▼", "hurts": "▲", "equivalent": "■", "inconclusive": "●", "diverged": "✕"}
_MEASURED = (("decode tokens/s", "decode_tokens_per_second"), ("KV cache", "kv_cache_bytes"))


@dataclass(frozen=True)
class Cell:
    """`value`: what it is sorted by, "" for none; None: by its text. `kind`: how it looks."""

    text: str
    value: float | str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Column:
    """`text`: to the left."""

    name: str
    text: bool = False


@dataclass(frozen=True)
class Table:
    """`label`: what it is, for who cannot see it."""

    label: str
    columns: list[Column]
    rows: list[list[Cell]]


def effects_table(summary: PartSummary) -> Table:
    """Each effect with its interval and verdict."""
    names = ("estimate", "95 % interval", "p", "p (Holm)", "verdict")
    columns = [Column("change", text=True), Column("kind"), *map(Column, names)]
    return Table("effects", columns, [_effect(e) for e in summary.effects])


def _effect(effect: EffectSummary) -> list[Cell]:
    places = places_of(effect)
    interval = (
        "–"
        if effect.low is None
        else f"{signed(effect.low, places)} to {signed(effect.high, places)}"
    )
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
    """Every change with what each part of the study says of it; interactions are in the parts' own
    tables.
    """
    told = [{e.name: e for e in part.effects if e.kind != "interaction"} for part in summary.parts]
    columns = [Column("change", text=True), *(Column(part.label) for part in summary.parts)]
    names = dict.fromkeys(name for effects in told for name in effects)
    return Table(
        "changes part by part",
        columns,
        [[_text(name), *(_said(of.get(name)) for of in told)] for name in names],
    )


def _said(effect: EffectSummary | None) -> Cell:
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
    """Each arm with its results and costs; costs that were measured of no arm are left out."""
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
    """An arm's mean; one that diverged has none, and says so."""
    return Cell(
        mean_text(arm, places),
        "" if arm.mean is None else arm.mean,
        "diverged" if arm.diverged else "",
    )


def ranges_table(evidence: Evidence) -> Table:
    """What was equal between the arms."""
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
    """A listing as a table."""
    columns = [Column(name, text=i == 0) for i, name in enumerate(listing.columns)]
    return Table(
        listing.title, columns, [[_text(first), *map(Cell, rest)] for first, *rest in listing.rows]
    )


def tuning_table(summary: PartSummary) -> Table:
    """What was tried for each arm, and what its runs took."""
    columns = [
        Column("arm", text=True),
        Column("took", text=True),
        Column(f"what was tried: {summary.metric}", text=True),
    ]
    return Table(
        "trials of tuning",
        columns,
        [_tuning(arm, digits(summary.spread)) for arm in summary.tuning],
    )


def _tuning(arm: ArmTuning, places: int) -> list[Cell]:
    tried = [
        f"{parameters(t.params)}: {t.status if t.values is None else plain(t.values[0], places)}"
        for t in arm.trials
    ]
    best = "not decided yet" if arm.best is None else parameters(arm.best) or "the study's recipe"
    edges = f" (at the edge: {', '.join(arm.edges)})" if arm.edges else ""
    return [
        _text(arm.arm),
        Cell(best + edges, None, "text edge" if edges else "text"),
        Cell("; ".join(tried), None, "list"),
    ]


def _text(text: str) -> Cell:
    return Cell(text, None, "text")


def _number(value: float | None, places: int) -> Cell:
    return Cell(plain(value, places), "" if value is None else value)


def _size(value: float | None, unit: str = "") -> Cell:
    return Cell(short(value) + (unit if value is not None else ""), "" if value is None else value)
