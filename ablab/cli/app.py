"""The `ablab` command. Modules imported here must not import heavy packages at the top."""

import gc
import sys

import typer

from ablab.cli import (
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
from ablab.errors import RunFailed, UserError
from ablab.names import printable

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
    plan.plan,
    studies.report,
    status.status,
    manage.studies,
    manage.cancel,
    manage.retry,
    manage.rm,
    fsck.fsck,
    server.ui,
    sync.sync,
    studies.schema,
    models.inspect,
    models.diff,
    plugins.plugins,
    plugins.families,
    plugins.recipes,
    plugins.new_plugin,
    finished_runs.export,
    finished_runs.generate,
)
for command in _COMMANDS:
    app.command()(command)


def main() -> None:
    """Run a command.

    Exit status: 0 on success, 1 if a run failed, 2 for invalid input or a file without permission,
    130 or 143 if interrupted.
    """
    # Imports create hundreds of thousands of permanent objects. Collecting garbage among them
    # takes a tenth of the time of `ablab plan`.
    gc.set_threshold(50_000)
    try:
        app()
    except UserError as error:
        print(f"ablab: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except PermissionError as error:
        print(f"ablab: {error.filename}: permission denied", file=sys.stderr)
        sys.exit(2)
    except RunFailed as error:
        print(f"ablab: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
