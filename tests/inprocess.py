"""The `ablab` command in the process of the tests: nothing is imported anew, and its workers are
forked from one server, which imports torch and Lightning once.
"""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

from ablab.cli.app import exit_status

SETTINGS = {"COLUMNS": "80", "HF_HUB_OFFLINE": "1"}


def run_command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, and return its status and what it and its workers printed."""
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        with _environment(folder, *arguments), _printing_to(output, errors):
            status = exit_status()
        texts = [_content(file) for file in (output, errors)]
    return subprocess.CompletedProcess(sys.argv, status, *texts)


@contextmanager
def _environment(folder: Path, *arguments: object) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the real command prints them
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ablab", *map(str, arguments)])
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield


@contextmanager
def _printing_to(output: IO[str], errors: IO[str]) -> Iterator[None]:
    """Have this process and those that it starts print to two files."""
    saved = [os.dup(number) for number in (1, 2)]
    try:
        for number, file in enumerate((output, errors), start=1):
            os.dup2(file.fileno(), number)
        with redirect_stdout(output), redirect_stderr(errors):
            yield
    finally:
        for number, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _content(file: IO[str]) -> str:
    file.flush()
    file.seek(0)
    return file.read()
