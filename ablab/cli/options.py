"""Options that commands share. Imports nothing heavy: `--help` must answer at once."""

from pathlib import Path
from typing import Annotated

import typer

Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins", metavar="DIR", help="A folder of loose plugin files. May be repeated."
    ),
]
HomeDir = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Where records, tokens and stores live. Default: .ablab/ and mlflow/ here.",
    ),
]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="A profile of the study file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
StudyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A study file.")]
StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study's name, NAME:REVISION (its first 4 characters or more), or its file.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Settings in place of the file's: seeds=5 recipe.lr=1e-3"
    ),
]
