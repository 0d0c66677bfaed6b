"""Options that commands share. Imports nothing heavy: `--help` must answer at once."""

from pathlib import Path
from typing import Annotated

import typer

Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins",
        metavar="PATH",
        help="Folder of loose plugin files, or one such file. May be repeated.",
    ),
]
HomeDir = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder for records, tokens and stores. Default: .ablab/ and mlflow/ here.",
    ),
]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Profile in the study file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Study file, or name of an example (`ablab studies --examples`)."
    ),
]
StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Study name, NAME:REVISION (at least 4 characters of it), or study file.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Overrides of the file: seeds=5 recipe.lr=1e-3"),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes. Default: one per GPU, or per CPU core.")
]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="Engine that trains the runs. Default: the study's `execution`."),
]
