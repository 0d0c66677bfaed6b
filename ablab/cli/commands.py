"""The commands of `ablab`. Modules imported here must not import heavy packages at the top."""

import typer

from ablab.cli import (
    check,
    doctor,
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
)

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
    plan.plan,
    studies.report,
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
