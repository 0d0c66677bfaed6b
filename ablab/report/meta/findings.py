"""`docs/findings.md`: what all studies of a repository found, from a folder of evidence.

The folder holds the tables of `ablab evidence --save`, `opening.md` and `closing.md`, which stand
before and after what is generated, and `order.txt`, the order of the studies by name.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

from ablab.errors import UserError
from ablab.evidence.conflicts import conflict_in
from ablab.evidence.pooling import ChangeEvidence, evidence_on
from ablab.evidence.table import read_table
from ablab.report.meta.sentences import conflict_lines, sentence
from ablab.report.meta.study_results import EffectResult, PartResult, StudyResult, read_results
from ablab.report.meta.terminal import overview_cells
from ablab.spec.study import Study
from ablab.text.numbers import interval_digits, p_value, plain, signed

OPENING, CLOSING, ORDER = "opening.md", "closing.md", "order.txt"
_WIDTH = 120
_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")
_SIGN = re.compile(r" [-+*] | [=<>] (?=\d)")
_BOUND = "\u2007"  # in place of a space at which a line is not broken
_METHOD = "[statistics.md](statistics.md#evidence-across-studies)"
_VERDICTS = {
    "helps": "helps",
    "hurts": "hurts",
    "equivalent": "makes no difference that matters",
    "depends": "depends on a nuisance factor",
    "inconclusive": "is inconclusive",
}
_PLURAL = {
    "helps": "help",
    "hurts": "hurt",
    "equivalent": "make no difference that matters",
    "depends": "depend on a nuisance factor",
    "inconclusive": "are inconclusive",
}


@dataclass(frozen=True)
class Listing:
    """A table in Markdown."""

    heading: str
    """Line above it."""
    columns: tuple[str, ...]
    """Names of its columns."""
    rules: tuple[str, ...]
    """The line below them."""
    rows: tuple[tuple[str, ...], ...]
    """Cells."""


@dataclass(frozen=True)
class Section:
    """What one study found."""

    question: str
    """Its question."""
    command: str
    """The command that runs it."""
    size: str
    """Number of runs and their time."""
    answers: tuple[str, ...]
    """A sentence for each part."""
    tables: tuple[Listing, ...]
    """The effects of each part."""
    notes: tuple[str, ...]
    """Comments in the study's file."""


def findings_text(folder: Path, studies: Mapping[str, Study]) -> str:
    """Return the page, from a folder of evidence and the studies by the stems of their files.

    Raises:
        UserError: if the folder lacks a file, or if one is of another version.

    """
    contrasts = read_table(folder)
    results = {result.origin.study: result for result in read_results(folder)}
    evidence = evidence_on(contrasts)
    order = _read(folder / ORDER).split()
    known = [name for name, study in studies.items() if name in results or study.notes]
    names = sorted(known, key=lambda name: order.index(name) if name in order else len(order))
    environment = Environment(
        loader=PackageLoader("ablab.report", "."), autoescape=False, keep_trailing_newline=True
    )
    versions = sorted({contrast.origin.numerics for contrast in contrasts})
    text = environment.get_template("findings.md.j2").render(
        opening=_read(folder / OPENING),
        closing=_read(folder / CLOSING),
        method=_METHOD,
        contrasts=len(contrasts),
        versions=f" of numerics version {', '.join(map(str, versions))}",
        overview=[_overview_row(each) for each in evidence],
        trends=[sentence(each) for each in evidence if len(each.settings) > 2],
        conflicts=[
            conflict_lines(conflict)
            for each in evidence
            if (conflict := conflict_in(each)) is not None
        ],
        sections=[_section(name, studies[name], results.get(name)) for name in names],
    )
    return _wrapped(text)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: the page needs this text, which may be empty") from None


def _overview_row(evidence: ChangeEvidence) -> list[str]:
    tau = evidence.pooled.tau
    return [evidence.change, *overview_cells(evidence), "–" if tau is None else f"{tau:.2g}"]


def _section(name: str, study: Study, result: StudyResult | None) -> Section:
    notes = tuple(" ".join(note.split()) for note in study.notes)
    command = f"ablab run studies/{name}.yaml"
    if result is None:
        return Section(study.question, command, "not in the table yet", (), (), notes)
    size = f"{result.runs} runs and trials, {result.core_minutes:.0f} core minutes"
    parts = [part for part in result.parts if part.effects]
    return Section(
        study.question,
        command,
        size,
        tuple(_answer(part) for part in parts),
        tuple(_listing(part) for part in parts),
        notes,
    )


def _answer(part: PartResult) -> str:
    """Return the verdicts of a part, in a sentence for each kind."""
    groups: dict[str, list[str]] = {}
    for effect in part.effects:
        if effect.kind != "interaction" and effect.verdict:
            groups.setdefault(effect.verdict, []).append(f"`{effect.title}`")
    sentences = []
    for verdict, titles in groups.items():
        words = _VERDICTS if len(titles) == 1 else _PLURAL
        sentences.append(f"{_series(titles)} {words.get(verdict, verdict)}")
    label = f"**{part.label}.** " if part.label else ""
    return f"{label}{'; '.join(sentences)}. This is {part.scope}."


def _series(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _listing(part: PartResult) -> Listing:
    facts = [f"{part.seeds} seeds"]
    if part.mean is not None:
        facts.append(f"`{part.baseline}` reaches {plain(part.mean, 3)}")
    if part.sd is not None:
        facts.append(f"run-to-run standard deviation {part.sd:.2g}")
    if part.margin is not None:
        facts.append(f"margin {part.margin:.2g}")
    label = f"{part.label}: " if part.label else ""
    costs = any(effect.costs for effect in part.effects)
    columns = ["change", f"effect on {part.metric}", "95 % interval", "p (Holm)", "verdict"]
    rules = ["---", "---:", "---", "---:", "---"]
    return Listing(
        f"{label}{', '.join(facts)}.",
        (*columns, *(["cost"] if costs else [])),
        (*rules, *(["---"] if costs else [])),
        tuple(_row(effect, costs=costs) for effect in part.effects),
    )


def _row(effect: EffectResult, *, costs: bool) -> tuple[str, ...]:
    places = interval_digits(effect.low, effect.high)
    interval = "–"
    if effect.low is not None and effect.high is not None:
        interval = f"{signed(effect.low, places)} to {signed(effect.high, places)}"
    cells = [
        effect.title,
        signed(effect.estimate, places),
        interval,
        p_value(effect.p),
        effect.depends or effect.verdict or "–",
    ]
    return tuple(cell.replace("|", "\\|") for cell in [*cells, *([effect.costs] if costs else [])])


def _wrapped(text: str) -> str:
    """Return Markdown with long lines of prose wrapped, and with the sign of negative numbers."""
    lines: list[str] = []
    for line in _without_doubled_gaps(text.splitlines()):
        if line.startswith(("    ", "#", "<!--")):
            lines.append(line)
            continue
        signed_line = _MINUS.sub("−", line)
        if len(line) <= _WIDTH or line.startswith("|"):
            lines.append(signed_line)
            continue
        # A line that began with a sign would be the item of a list.
        bound = _SIGN.sub(lambda match: match[0].replace(" ", _BOUND), signed_line)
        wrapped = textwrap.wrap(
            bound,
            _WIDTH,
            subsequent_indent="  " if line.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += [each.replace(_BOUND, " ") for each in wrapped]
    return "\n".join(lines).strip() + "\n"


def _without_doubled_gaps(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1]):
            kept.append(line.rstrip())
    return kept
