"""`ablab generate`: text from a finished run."""

from typing import Annotated

import typer

from ablab.cli.options import HomeDir, Plugins


def generate(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Key of a finished run, or a unique prefix of it."),
    ],
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
    following = continuation(make_home(home), (run, prompt), sampling, load_registry(plugins or []))
    print(prompt, end="", flush=True)
    for text in following:
        print(text, end="", flush=True)
    print()
