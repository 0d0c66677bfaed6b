"""The page that sets two studies side by side."""

from pathlib import Path

from ablab.analysis.comparison import Comparison
from ablab.analysis.effects import EffectSummary
from ablab.files import write_atomically
from ablab.records.home import StudyRecord
from ablab.report.figures.pairs import pair_plot
from ablab.report.html import render
from ablab.report.scope import holds_for
from ablab.report.sentences import adjusted, places_of, word
from ablab.report.tables import MARKS, Cell, Column, Table, mean_cell
from ablab.text.numbers import digits, signed

_NONE = "–"
CAUTION = (
    "Each study's intervals are its own: they say nothing of the difference between the studies, "
    "whose runs may be the same where both asked for them."
)


def write_comparison(found: Comparison, record: StudyRecord, other: StudyRecord) -> Path:
    """Writes the page beside the first study's reports, and returns its path."""
    page = render(
        "templates/comparison.j2",
        {
            "c": found,
            "plot": pair_plot(found.effects, found.names, found.parts[0].metric),
            "caution": CAUTION,
            "holds_for": [holds_for(part.content) for part in found.parts],
            "differences": _settings(found),
            "effects": _effects(found),
            "arms": _arms(found),
            "adjusted": next(filter(None, map(adjusted, found.parts)), ""),
        },
    )
    record.reports.mkdir(parents=True, exist_ok=True)
    path = record.reports / f"{record.revision}-beside-{other.name}-{other.revision}.html"
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def verdict_cells(effect: EffectSummary | None) -> tuple[str, str, str]:
    """Estimate, interval and verdict, as text."""
    if effect is None:
        return _NONE, _NONE, "not asked"
    places = places_of(effect)
    interval = (
        _NONE
        if effect.low is None
        else f"{signed(effect.low, places)} to {signed(effect.high, places)}"
    )
    return signed(effect.estimate, places), interval, word(effect.verdict)


def _settings(found: Comparison) -> Table:
    columns = [Column(name, text=True) for name in ("setting", *found.names)]
    return Table(
        "settings that differ",
        columns,
        [
            [Cell(text, None, "text") for text in (d.setting, d.first, d.second)]
            for d in found.differences
        ],
    )


def _effects(found: Comparison) -> Table:
    columns = [Column("change", text=True)]
    for name in found.names:
        columns += [Column(name), Column("95 % interval"), Column("verdict")]
    rows = []
    for pair in found.effects:
        row = [Cell(pair.name, None, "text")]
        for effect in (pair.first, pair.second):
            estimate, interval, verdict = verdict_cells(effect)
            kind = (effect.verdict if effect else None) or ""
            row += [
                Cell(estimate),
                Cell(interval),
                Cell(f"{MARKS.get(kind, '')} {verdict}".strip(), None, kind),
            ]
        rows.append(
            [*row, Cell(pair.agreement, None, "unequal" if pair.agreement == "differs" else "")]
        )
    return Table("effects", [*columns, Column("verdicts")], rows)


def _arms(found: Comparison) -> Table:
    heads = zip(found.names, found.parts, strict=True)
    columns = [
        Column("arm", text=True),
        *(Column(f"{name}, {summary.metric}") for name, summary in heads),
    ]
    places = [digits(summary.spread) for summary in found.parts]
    rows = []
    for name, *arms in found.arms:
        means = [
            Cell(_NONE, "") if arm is None else mean_cell(arm, place)
            for arm, place in zip(arms, places, strict=True)
        ]
        rows.append([Cell(name, None, "text"), *means])
    return Table("arms", columns, rows)
