"""The report as a self-contained HTML page, and as Markdown with figures as separate files."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ablab.analysis.summary import PartSummary, StudySummary
from ablab.files import write_atomically
from ablab.records.study_record import StudyRecord
from ablab.report.across_parts import across_lines, across_listings
from ablab.report.corpus import corpus_notes
from ablab.report.evidence import evidence_of, excluded, how_to_repeat
from ablab.report.figures import Figures, figures_of
from ablab.report.figures.front import costs_not_compared, same_costs
from ablab.report.footnotes import footnotes, part_footnotes
from ablab.report.glossary import Glossary
from ablab.report.scope import holds_for
from ablab.report.search import survival, trials_listing
from ablab.report.sentences import adjusted, changed_by_tuning, how_judged, sentence
from ablab.report.tables import (
    MARKS,
    arms_table,
    effects_table,
    listed_table,
    parts_table,
    ranges_table,
    tuning_table,
)

_MAX_EMBEDDED = 100_000  # characters of the data of a figure
# Characters that have a meaning in Markdown.
_MARKDOWN_ESCAPES = str.maketrans({character: f"\\{character}" for character in r"\`*_[]<>|#"})


def write_report(summary: StudySummary, record: StudyRecord) -> Path:
    """Write the report, and return the page's path."""
    return write_pages(summary, record)[0]


def write_pages(summary: StudySummary, record: StudyRecord) -> list[Path]:
    """Write the report beside the study's record.

    Returns:
        The page first, then the same as Markdown, and each figure as SVG, PNG and CSV.

    """
    glossary = Glossary()
    parts = [
        _part(summary, part, record, glossary, f"part{number}" if part.label else "")
        for number, part in enumerate(summary.parts, start=1)
    ]
    pages = {kind: _page(summary, record, parts, glossary, kind) for kind in ("html", "md")}
    files = {f"{record.revision}.{kind}": page.encode() for kind, page in pages.items()}
    for plot in (plot for part in parts for plot in part.figures.files):
        files[f"{record.revision}-{plot.name}.svg"] = plot.svg.encode()
        files[f"{record.revision}-{plot.name}.png"] = plot.png
        files[f"{record.revision}-{plot.name}.csv"] = plot.csv.encode()
    record.reports.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(
            record.reports / name,
            lambda file, content=content: file.write(content),
            sync=name.endswith("html"),
        )
    return [record.reports / name for name in files]


@dataclass(frozen=True)
class _Part:
    """A part of the page as HTML and as Markdown, and its figures."""

    html: Markup
    md: str
    figures: Figures


def _page(
    summary: StudySummary,
    record: StudyRecord,
    parts: Sequence[_Part],
    glossary: Glossary,
    kind: str,
) -> str:
    context = {
        "s": summary,
        "g": glossary,
        "progress": summary.progress,
        "metric": summary.parts[0].metric,
        "parts": parts,
        "glance": parts_table(summary) if len(parts) > 1 else None,
        "across": [listed_table(listing) for listing in across_listings(summary.across)],
        "across_lines": across_lines(summary),
        "notes": [*footnotes(summary), *corpus_notes(summary, record.home)],
        "excluded": excluded(summary),
        "repeat": how_to_repeat(summary, record.home),
    }
    return render(f"report.{kind}.j2", context)


def _part(
    summary: StudySummary, part: PartSummary, record: StudyRecord, glossary: Glossary, slug: str
) -> _Part:
    """Render a part. `slug` distinguishes its figures from those of other parts."""
    evidence = evidence_of(part, record.home.root)
    figures = figures_of(part, evidence)
    if slug:
        figures = figures.prefixed(slug)
    context = {
        **_context(part, figures),
        "g": glossary,
        "ranges": ranges_table(evidence),
        "prefix": record.revision,
        "slug": f"{slug}-" if slug else "",
        "level": 3 if part.label else 2,
        "notes": part_footnotes(summary, part),
    }
    html, markdown = (render(f"templates/part.{kind}.j2", context) for kind in ("html", "md"))
    return _Part(Markup(html), markdown, figures)


def _context(part: PartSummary, figures: Figures) -> dict[str, Any]:
    verdicts = [
        (e.verdict or "", MARKS.get(e.verdict or "", "–"), sentence(e, part.metric))
        for e in part.effects_by_size
        if e.kind != "interaction"
    ]
    return {
        "s": part,
        "f": figures,
        "holds_for": holds_for(part.content),
        "how_judged": how_judged(part.metric),
        "by_tuning": changed_by_tuning(part),
        "verdicts": verdicts,
        "same": same_costs(part),
        "not_compared": costs_not_compared(part),
        "adjusted": adjusted(part),
        "survival": survival(part),
        "effects": effects_table(part),
        "arms": arms_table(part),
        "trials": listed_table(trials_listing(part)),
        "tuning": tuning_table(part),
    }


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a page from its template.

    Values are escaped in HTML. In Markdown they are escaped by the filter `md`.
    """
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ablab.report", ""),
        autoescape=lambda name: name is None or not name.endswith(".md.j2"),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["csv_address"] = _csv_address
    environment.filters["md"] = lambda text: " ".join(str(text).split()).translate(
        _MARKDOWN_ESCAPES
    )
    return environment


def _csv_address(content: str, file: str) -> str:
    """Return an address that holds the content of a CSV file, so that the page needs no other
    files; if it is large, the name of the file beside the page.
    """
    if len(content) > _MAX_EMBEDDED:
        return file
    return f"data:text/csv;base64,{b64encode(content.encode()).decode()}"
