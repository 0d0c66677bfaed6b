"""Notes to the tables of a report: scope, error term, time and devices."""

from ablab.analysis.summary import PartSummary, StudySummary
from ablab.report.checks import check_lines
from ablab.report.nuisance import nuisance_lines
from ablab.report.scope import common_scope, scope
from ablab.report.sentences import noise
from ablab.text.truncate import bare


def footnotes(summary: StudySummary) -> list[str]:
    """Return what holds for a whole study.

    The error term and the notes on costs of one of several parts are left to the part.
    """
    notes = [bare(note) for part in summary.parts for note in part.content.notes]
    lines = [*common_scope(summary), *dict.fromkeys(notes)]
    if len(summary.parts) == 1:
        part = summary.parts[0]
        lines += [*part.cost_notes, *_error(part)]
    if summary.sources.checked is False:
        lines.append("arms were not checked before training (--skip-checks)")
    if summary.time is not None and summary.wall_seconds is not None:
        time = summary.time
        lines.append(
            f"time: {summary.wall_seconds:.0f} s on {summary.workers} worker(s); "
            f"{100 * time.training:.0f} % training, {100 * time.validation:.0f} % validation, "
            f"{100 * time.measuring:.0f} % measuring memory and decoding, "
            f"{100 * time.other:.0f} % other"
        )
    return [*lines, *(f"device: {device}" for device in summary.progress.devices)]


def part_footnotes(summary: StudySummary, part: PartSummary) -> list[str]:
    """Return what holds for one part alone."""
    common = {*footnotes(summary)}
    devices = [f"device: {device}" for device in part.progress.devices]
    lines = [*scope(part.content), *part.notes, *_error(part), *devices]
    return [line for line in lines if line not in common]


def _error(part: PartSummary) -> list[str]:
    lines = [*noise(part), *check_lines(part), *nuisance_lines(part), *_document_error(part)]
    errors = [f"{e.name} {e.sampling_se:.2g}" for e in part.effects if e.sampling_se is not None]
    if errors:
        lines.append(
            f"standard errors from drawing orders, within the intervals: {', '.join(errors)}"
        )
    return lines


def _document_error(part: PartSummary) -> list[str]:
    errors = [
        (effect.document_error, effect.documents)
        for effect in part.effects
        if effect.kind != "interaction" and effect.document_error is not None
    ]
    if not errors:
        return []
    largest, documents = max(errors)
    bound = "" if len(errors) == 1 else "at most "
    return [
        f"document error of an effect: {bound}±{largest:.2g} {part.metric}, one standard error "
        f"over {documents} held-out documents; the intervals do not include it"
    ]
