"""`ablab export`: a finished run for `transformers`."""

from pathlib import Path
from typing import Annotated

import typer

from ablab.cli.options import HomeDir, Plugins


def export(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Key of a finished run, or a unique prefix of it."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Target folder: new or empty.")],
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Export a finished run as a folder that transformers can load."""
    from ablab.arch.composition.registry import load_registry
    from ablab.models.export import export as write
    from ablab.records.home import make_home

    done = write(make_home(home), run, folder, load_registry(plugins or []))
    tokenizer = f"no tokenizer: {done.no_tokenizer}" if done.no_tokenizer else "with its tokenizer"
    print(f"{folder}: {done.spec.arm} · seed {done.spec.seed} as {done.model}, {tokenizer}")
