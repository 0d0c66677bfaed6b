"""The `ablab` command in processes that are forked from one that has imported it."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryFile

from ablab.cli.app import main
from ablab.execute.executors.fork_server import process_context

_SECONDS = 60.0


def run_forked(folder: Path, *arguments: object) -> tuple[int | None, str, str]:
    """Run a command in `folder`, and return its status and what it printed to stdout and stderr."""
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = process_context([]).Process(
            target=_command,
            args=(str(folder), [str(word) for word in arguments], *_paths(output, errors)),
        )
        process.start()
        process.join(_SECONDS)
        status = process.exitcode
        process.kill()
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read())
    return status, texts[0], texts[1]


def _paths(*files: object) -> list[str]:
    """Return what another process opens these files by."""
    return [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in files]


def _command(folder: str, arguments: list[str], output: str, errors: str) -> None:
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.chdir(folder)
    os.environ["COLUMNS"] = "80"
    sys.argv = ["ablab", *arguments]
    main()
