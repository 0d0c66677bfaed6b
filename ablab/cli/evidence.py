"""`ablab evidence`: what all studies together say about a change."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.options import HomeDir, Json
from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.evidence.contrast import EvidenceContrast
    from ablab.evidence.pooling import ChangeEvidence
    from ablab.records.home import Home

Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CHANGE]...",
        help="Plugins (rope) or whole changes ('swiglu for relu'). Default: an overview of all.",
    ),
]
Also = Annotated[
    list[Path] | None,
    typer.Option("--also", metavar="DIR", help="Another home to read. May be repeated."),
]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URI", help="A team's MLflow server to read, too."),
]
MetricName = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="The metric, where there are more.")
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="DIR", help="Write the table of contrasts there instead."),
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="Read a table that --save wrote, and no home."),
]
StudyOut = Annotated[
    Path | None,
    typer.Option("--study", metavar="FILE", help="Write the study that would test a conflict."),
]
Findings = Annotated[
    Path | None,
    typer.Option(
        "--findings", metavar="FILE", help="Write a page from the tables of --from and studies/."
    ),
]


def evidence(
    changes: Changes = None,
    home: HomeDir = None,
    also: Also = None,
    server: Server = None,
    metric: MetricName = None,
    as_json: Json = False,
    save: Save = None,
    table: From = None,
    study: StudyOut = None,
    findings: Findings = None,
) -> None:
    """Pool the effects of changes over all studies of a home, by setting."""
    from ablab.evidence.pooling import evidence_on

    if findings is not None:
        _write_findings(table, findings)
        return
    contrasts = _contrasts(home, also or [], server, table)
    if not contrasts:
        raise UserError(
            "no contrast counts as evidence yet: that takes a finished study with four seeds or "
            "more (`ablab studies` lists what was run)"
        )
    if save is not None:
        _save(contrasts, save, [] if table else _homes(home, also or []))
        return
    results = evidence_on(contrasts, changes or (), metric)
    if study is not None:
        _write_study(results, study)
        return
    if as_json:
        from ablab.report.meta.json import evidence_json

        print(json.dumps(evidence_json(results), indent=1))
        return
    _print(results, overview=not changes)


def _contrasts(
    home: Path | None, also: list[Path], server: str | None, table: Path | None
) -> list["EvidenceContrast"]:
    from ablab.evidence.gather import distinct, gather
    from ablab.evidence.table import read_table

    if table is not None:
        if home is not None or also or server is not None:
            raise UserError("--from reads a table alone: leave out --home, --also and --server")
        return read_table(table)
    homes = _homes(home, also)
    for warning in (warning for each in homes for warning in each.warnings):
        print(warning, file=sys.stderr)
    contrasts, left_out = gather(homes)
    if server is not None:
        found, without = _from_server(server)
        contrasts = distinct([*contrasts, *found])
        left_out += without
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    return contrasts


def _from_server(uri: str) -> tuple[list["EvidenceContrast"], list[str]]:
    from ablab.tracking.mlflow.errors import explained
    from ablab.tracking.mlflow.evidence import read_evidence

    try:
        return read_evidence(uri)
    except Exception as error:  # whatever MLflow's clients raise
        raise UserError(f"MLflow: {explained(error, uri)}") from None


def _homes(home: Path | None, also: list[Path]) -> list["Home"]:
    from ablab.records.home import make_home

    homes = [make_home(home), *map(make_home, also)]
    for each in homes:
        if not each.root.is_dir():
            raise UserError(f"{each.root}: no home of studies (`ablab run FILE` makes one)")
    return homes


def _save(contrasts: list["EvidenceContrast"], folder: Path, homes: list["Home"]) -> None:
    from ablab.evidence.table import write_table
    from ablab.report.meta.study_results import study_results, write_results

    for file in write_table(folder, contrasts):
        print(file)
    if homes:
        print(write_results(folder, study_results(homes)))


def _write_findings(folder: Path | None, file: Path) -> None:
    from ablab.report.meta.findings import findings_text
    from ablab.spec.study import load_study

    if folder is None:
        raise UserError("--findings needs --from, the folder of tables that --save wrote")
    files = sorted(Path("studies").glob("*.yaml"))
    if not files:
        raise UserError("--findings reads the notes of studies/*.yaml: none are in this folder")
    studies = {each.stem: load_study(each, None, [])[0] for each in files}
    file.write_text(findings_text(folder, studies), encoding="utf-8")
    print(file)


def _write_study(results: list["ChangeEvidence"], file: Path) -> None:
    from ablab.evidence.conflicts import conflict_in
    from ablab.evidence.follow_up import follow_up

    conflicts = [conflict for each in results if (conflict := conflict_in(each)) is not None]
    if len(conflicts) != 1:
        names = ", ".join(conflict.change for conflict in conflicts) or "none"
        raise UserError(f"--study needs one change with a conflict (here: {names})")
    study = follow_up(conflicts[0])
    if study is None:
        raise UserError(f"{conflicts[0].change}: no single study can test what separates these")
    if file.exists():
        raise UserError(f"{file} exists: name another file")
    file.write_text(study.text, encoding="utf-8")
    print(f"{file}: plan it with `ablab plan {file}`")


def _print(results: list["ChangeEvidence"], *, overview: bool) -> None:
    from rich.console import Console

    from ablab.report.meta.terminal import print_change, print_overview

    console = Console()
    if overview:
        print_overview(results, console)
        return
    for number, each in enumerate(results):
        if number:
            console.print()
        print_change(each, console)
