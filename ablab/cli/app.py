"""`ablab`: the command line. Imports nothing heavy at the top."""

import gc
import sys

import typer

from ablab.cli import (
    export,
    generate,
    manage,
    models,
    new_plugin,
    run,
    server,
    status,
    studies,
    sync,
)
from ablab.errors import RunFailed, UserError

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
    studies.plan,
    studies.report,
    status.status,
    manage.studies,
    manage.cancel,
    manage.retry,
    manage.rm,
    server.ui,
    sync.sync,
    studies.schema,
    models.inspect,
    models.diff,
    models.plugins,
    models.families,
    new_plugin.new_plugin,
    export.export,
    generate.generate,
)
for command in _COMMANDS:
    app.command()(command)


def main() -> None:
    """Runs a command. Exit status: 0 done, 1 a run failed, 2 bad input, or no permission for a
    file, 130 or 143 interrupted.
    """
    # Imports make hundreds of thousands of objects that stay: looking through them for garbage
    # takes a tenth of a plan's time.
    gc.set_threshold(50_000)
    try:
        app()
    except UserError as error:
        print(f"ablab: {error}", file=sys.stderr)
        sys.exit(2)
    except PermissionError as error:
        print(f"ablab: {error.filename}: permission denied", file=sys.stderr)
        sys.exit(2)
    except RunFailed as error:
        print(f"ablab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
