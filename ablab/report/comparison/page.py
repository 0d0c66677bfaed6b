"""The page that shows two studies side by side."""

from pathlib import Path

from ablab.analysis.comparison import Comparison
from ablab.analysis.effect_summary import EffectSummary
from ablab.files import write_atomically
from ablab.records.study_record import StudyRecord
from ablab.report.figures.pairs import pair_plot
from ablab.report.glossary import Glossary
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


def write_comparison(comparison: Comparison, record: StudyRecord, other: StudyRecord) -> Path:
    """Write the page into the reports of the first study, and return its path."""
    stem = f"{record.revision}-beside-{other.name}-{other.revision}"
    page = render(
        "templates/comparison.j2",
        {
            "c": comparison,
            "g": Glossary(),
            "prefix": stem,
            "plot": pair_plot(comparison.effects, comparison.names, comparison.parts[0].metric),
            "caution": CAUTION,
            "holds_for": [holds_for(part.content) for part in comparison.parts],
            "differences": _settings(comparison),
            "effects": _effects(comparison),
            "arms": _arms(comparison),
            "adjusted": next(filter(None, map(adjusted, comparison.parts)), ""),
        },
    )
    record.reports.mkdir(parents=True, exist_ok=True)
    path = record.reports / f"{stem}.html"
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def verdict_cells(effect: EffectSummary | None) -> tuple[str, str, str]:
    """Return the estimate, the interval and the verdict as text."""
    if effect is None:
        return _NONE, _NONE, "not asked"
    places = places_of(effect)
    interval = _NONE
    if effect.low is not None:
        interval = f"{signed(effect.low, places)} to {signed(effect.high, places)}"
    return signed(effect.estimate, places), interval, word(effect.verdict)


def _settings(comparison: Comparison) -> Table:
    columns = [Column(name, text=True) for name in ("setting", *comparison.names)]
    return Table(
        "settings that differ",
        columns,
        [
            [Cell(text, None, "text") for text in (d.setting, d.first, d.second)]
            for d in comparison.differences
        ],
    )


def _effects(comparison: Comparison) -> Table:
    columns = [Column("change", text=True)]
    for name in comparison.names:
        columns += [Column(name), Column("95 % interval"), Column("verdict")]
    rows = []
    for pair in comparison.effects:
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


def _arms(comparison: Comparison) -> Table:
    heads = zip(comparison.names, comparison.parts, strict=True)
    columns = [
        Column("arm", text=True),
        *(Column(f"{name}, {summary.metric}") for name, summary in heads),
    ]
    places = [digits(summary.spread) for summary in comparison.parts]
    rows = []
    for name, *arms in comparison.arms:
        means = [
            Cell(_NONE, "") if arm is None else mean_cell(arm, place)
            for arm, place in zip(arms, places, strict=True)
        ]
        rows.append([Cell(name, None, "text"), *means])
    return Table("arms", columns, rows)
