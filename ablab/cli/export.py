"""`ablab export`: a finished run for `transformers`."""

from pathlib import Path
from typing import Annotated

import typer

from ablab.cli.options import HomeDir, Plugins


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A finished run's key, or as much of it as tells it apart."
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that is empty or not there.")
    ],
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Write a finished run as a folder that transformers loads."""
    from ablab.arch.composition.registry import load_registry
    from ablab.models.export import export as write
    from ablab.records.home import make_home

    done = write(make_home(home), run, folder, load_registry(plugins or []))
    tokenizer = f"no tokenizer: {done.no_tokenizer}" if done.no_tokenizer else "with its tokenizer"
    print(f"{folder}: {done.spec.arm} · seed {done.spec.seed} as {done.model}, {tokenizer}")
