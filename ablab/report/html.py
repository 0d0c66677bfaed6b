"""The report as one HTML file that needs nothing else, and the same as Markdown with figures as
files beside it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ablab.analysis.summary import Summary
from ablab.files import write_atomically
from ablab.records.home import StudyRecord, parts_alone
from ablab.report.across_parts import lines as across_lines
from ablab.report.across_parts import listings
from ablab.report.evidence import evidence_of
from ablab.report.figures import Figures, figures_of
from ablab.report.figures.front import costs_apart, same_costs
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
from ablab.report.terminal import footnotes, own_footnotes

_MEANING = str.maketrans({character: f"\\{character}" for character in r"\`*_[]<>|#"})


def write_report(summary: Summary, record: StudyRecord) -> Path:
    """Writes the report, and returns the page's path."""
    return write_pages(summary, record)[0]


def write_pages(summary: Summary, record: StudyRecord) -> list[Path]:
    """Writes the report beside the study's record: the page first, then the same as Markdown, and
    each figure as SVG and PNG.
    """
    content = record.read()
    figures = figures_of(summary, evidence := evidence_of(summary, record, content))
    alone = zip(summary.parts, parts_alone(content), strict=True)
    parts = [
        _part((summary, part), record, each, number)
        for number, (part, each) in enumerate(alone, start=1)
    ]
    context = _context(summary, figures) | {
        "e": evidence,
        "ranges": ranges_table(evidence),
        "prefix": record.revision,
        "slug": "",
        "level": 2,
        "parts": parts,
        "across": [listed_table(listing) for listing in listings(summary.across)] if parts else [],
        "across_lines": across_lines(summary.across) if parts else [],
        "glance": parts_table(summary) if parts else None,
    }
    record.reports.mkdir(parents=True, exist_ok=True)
    written = {
        f"{record.revision}.{kind}": render(f"report.{kind}.j2", context).encode()
        for kind in ("html", "md")
    }
    for plot in (
        plot for drawn in (figures, *(part["f"] for part in parts)) for plot in drawn.files
    ):
        written |= {
            f"{record.revision}-{plot.name}.svg": plot.svg.encode(),
            f"{record.revision}-{plot.name}.png": plot.png,
        }
    for name, page in written.items():
        write_atomically(
            record.reports / name,
            lambda file, page=page: file.write(page),
            sync=name.endswith("html"),
        )
    return [record.reports / name for name in written]


def _part(
    whole: tuple[Summary, Summary], record: StudyRecord, content: Mapping[str, Any], number: int
) -> dict[str, Any]:
    """A part as text of both kinds. `whole`: the study and the part."""
    summary, part = whole
    evidence = evidence_of(part, record, content)
    figures = figures_of(part, evidence).named(f"part{number}")
    own = {
        "e": evidence,
        "ranges": ranges_table(evidence),
        "prefix": record.revision,
        "slug": f"part{number}-",
        "level": 3,
    }
    context = {**_context(part, figures), **own, "notes": own_footnotes(summary, part)}
    html, markdown = (render(f"templates/part.{kind}.j2", context) for kind in ("html", "md"))
    return {**context, "html": Markup(html), "md": markdown}


def _context(summary: Summary, figures: Figures) -> dict[str, Any]:
    told = [e for e in summary.effects if e.kind != "interaction"]
    return {
        "s": summary,
        "f": figures,
        "how_judged": how_judged(summary.metric),
        "by_tuning": changed_by_tuning(summary),
        "notes": footnotes(summary),
        "told": [
            (e.verdict or "", MARKS.get(e.verdict or "", "–"), sentence(e, summary.metric))
            for e in told
        ],
        "same": same_costs(summary),
        "apart": costs_apart(summary),
        "adjusted": adjusted(summary),
        "survival": survival(summary),
        "effects": effects_table(summary),
        "arms": arms_table(summary),
        "trials": listed_table(trials_listing(summary)),
        "tuning": tuning_table(summary),
    }


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from its template. All that is put into HTML is escaped; in Markdown the filter `md`
    does it.
    """
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ablab.report", ""),
        autoescape=lambda name: name is None or not name.endswith(".md.j2"),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["md"] = lambda text: " ".join(str(text).split()).translate(_MEANING)
    return made
