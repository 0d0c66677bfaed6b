"""Commands on a finished run's model: `ablab generate` and `ablab export`."""

from pathlib import Path
from typing import Annotated

import typer

from ablab.cli.options import HomeDir, Plugins

Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Key of a finished run, or a unique prefix of it."),
]


def generate(
    run: Run,
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    tokens: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of tokens; the model's context limits it too."),
    ] = 100,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy decoding.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="Sampling seed.")] = 0,
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Continue a prompt with a finished run's model."""
    from ablab.arch.composition.registry import load_registry
    from ablab.models.load import Sampling, continuation
    from ablab.records.home import make_home

    sampling = Sampling(tokens, temperature, seed)
    pieces = continuation(make_home(home), (run, prompt), sampling, load_registry(plugins or []))
    print(prompt, end="", flush=True)
    for text in pieces:
        print(text, end="", flush=True)
    print()


def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Target folder: new or empty.")],
    home: HomeDir = None,
    plugins: Plugins = None,
) -> None:
    """Export a finished run as a folder that transformers can load."""
    from ablab.arch.composition.registry import load_registry
    from ablab.models.export import export as write
    from ablab.records.home import make_home

    exported = write(make_home(home), run, folder, load_registry(plugins or []))
    tokenizer = "with its tokenizer"
    if exported.no_tokenizer:
        tokenizer = f"without a tokenizer: {exported.no_tokenizer}"
    spec = exported.spec
    print(f"{folder}: {spec.arm} · seed {spec.seed} as {exported.model}, {tokenizer}")
