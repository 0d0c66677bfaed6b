"""`ablab report` and `ablab schema`, and the look-up of studies for other commands."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.browser import open_page
from ablab.cli.options import HomeDir, Json, Profile, StudyName
from ablab.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from ablab.execute.session import Request
    from ablab.records.study_record import StudyRecord

More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STUDY] [KEY=VALUE]...",
        help="A second study to compare with; overrides if STUDY is a file.",
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="DIR", help="Write the numbers to CSV files there instead."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser, if there is one.")]


def report(
    study: StudyName,
    more: More = None,
    profile: Profile = None,
    open_it: Open = False,
    as_json: Json = False,
    csv: Csv = None,
    home: HomeDir = None,
) -> None:
    """Print a study's effects and arms and write its report, or compare two studies."""
    from ablab.analysis.summarise import summarise

    others = [word for word in more or [] if "=" not in word]
    overrides = [word for word in more or [] if "=" in word]
    if len(others) > 1:
        raise UserError(
            f"one study, or two side by side, not {1 + len(others)} (settings are KEY=VALUE)"
        )
    if csv is not None and (others or as_json):
        raise UserError("--csv writes the numbers of one study, and not together with --json")
    record = study_record(study, profile, overrides, home)
    if csv is not None:
        _write_csv(record, csv)
        return
    if others:
        other = study_record(others[0], profile, overrides, home)
        _compare(record, other, as_json=as_json, open_it=open_it)
        return
    summary = summarise(record)
    if as_json:
        print(json.dumps(summary.as_json(), indent=1))
        return
    from rich.console import Console

    from ablab.report.html import write_report
    from ablab.report.terminal import print_summary

    console = Console()
    print_summary(summary, console)
    if not record.home.is_unverified:  # such a home is only read
        _announce(write_report(summary, record), console, open_it=open_it)


def _compare(record: "StudyRecord", other: "StudyRecord", *, as_json: bool, open_it: bool) -> None:
    from rich.console import Console

    from ablab.analysis.comparison import compare
    from ablab.analysis.summarise import summarise
    from ablab.report.comparison.page import write_comparison
    from ablab.report.comparison.terminal import print_comparison

    if (record.name, record.revision) == (other.name, other.revision):
        raise UserError(
            f"{record.name} (revision {record.revision}) is named twice: nothing to compare "
            "(NAME:REVISION is another revision; `ablab studies` lists them)"
        )
    comparison = compare(summarise(record), summarise(other))
    if as_json:
        print(json.dumps(comparison.as_json(), indent=1))
        return
    console = Console()
    print_comparison(comparison, console)
    if not record.home.is_unverified:  # such a home is only read
        _announce(write_comparison(comparison, record, other), console, open_it=open_it)


def _write_csv(record: "StudyRecord", folder: Path) -> None:
    from ablab.frames.csv_files import write_csv
    from ablab.frames.study_frames import StudyFrames

    study = StudyFrames(record)
    for file in write_csv(study, folder):
        print(file)
    for line in study.missing:
        print(line, file=sys.stderr)


def _announce(page: Path, console: "Console", *, open_it: bool) -> None:
    """Print the path of a report, and open it if asked to."""
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    if open_it and not open_page(page):
        console.print("no browser here: open the file by hand", highlight=False)


class SchemaOf(StrEnum):
    """What `ablab schema` describes."""

    STUDY = "study"
    CARD = "card"


def schema(
    of: Annotated[
        SchemaOf, typer.Argument(help="Study files, or the cards of `ablab try --json`.")
    ] = SchemaOf.STUDY,
) -> None:
    """Print the JSON schema of study files, for editors; or of cards, for programs."""
    if of is SchemaOf.CARD:
        from ablab.ideas.card import Card

        print(json.dumps(Card.model_json_schema(), indent=1))
        return
    from ablab.spec.study import Study
    from ablab.spec.yaml_parser import LIMITS

    content = Study.model_json_schema(by_alias=True)
    content["description"] += f" {LIMITS}"
    content["required"].remove("budget")
    content["anyOf"] = [{"required": [name]} for name in ("budget", "budgets", "scales")]
    content["properties"]["profiles"] = {
        "description": "Named sets of settings that override the file's: `--profile NAME`.",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    print(json.dumps(content, indent=1))


def request_of(
    file: Path, profile: str | None, overrides: list[str] | None, plugins: list[Path] | None
) -> "Request":
    """Return the request for a study file, or an example's name, with its profile, overrides and
    plugin folders.
    """
    from ablab.execute.session import Request
    from ablab.spec.examples import study_file

    return Request(study_file(file), profile, tuple(overrides or ()), tuple(plugins or ()))


def study_record(
    study: str, profile: str | None, overrides: list[str] | None, home: Path | None
) -> "StudyRecord":
    """Return the record of a study.

    `study` is a file (for the exact revision), NAME:REVISION, or a name (for the latest revision
    in the home, which is printed).
    """
    from ablab.records.home import label, make_home
    from ablab.records.lookup import is_file, records_of

    home_folder = make_home(home)
    for warning in home_folder.warnings:
        print(warning, file=sys.stderr)
    record = records_of(home_folder, study, profile, overrides or ())[-1]
    if not is_file(study) and record.name == label(study, profile):
        print(
            f"{record.name}: the latest revision in {home_folder.root}, {record.revision}",
            file=sys.stderr,
        )
    return record
