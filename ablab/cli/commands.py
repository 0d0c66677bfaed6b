"""The commands of `ablab`. Modules imported here must not import heavy packages at the top."""

from typing import Annotated

import typer

from ablab.cli import (
    check,
    doctor,
    evidence,
    examples,
    finished_runs,
    fsck,
    manage,
    models,
    plan,
    plugins,
    run,
    server,
    status,
    studies,
    sync,
    try_idea,
)
from ablab.version import __version__

app = typer.Typer(
    name="ablab",
    help="A plugin-based ablation lab for transformer language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS = (
    run.run,
    examples.demo,
    try_idea.ledger,
    plan.plan,
    studies.report,
    evidence.evidence,
    status.status,
    manage.studies,
    manage.cancel,
    manage.retry,
    manage.rm,
    fsck.fsck,
    doctor.doctor,
    server.ui,
    sync.sync,
    studies.schema,
    models.inspect,
    models.diff,
    plugins.plugins,
    plugins.families,
    plugins.recipes,
    plugins.new_plugin,
    check.check,
    finished_runs.export,
    finished_runs.generate,
)
for command in _COMMANDS:
    app.command()(command)
app.command("try")(try_idea.try_idea)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ablab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Accept the options that need no command."""
