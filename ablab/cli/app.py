"""The process of the `ablab` command: its signals, its streams, and its exit status.

Nothing else is imported before Ctrl-C is handled: imports take longer than most commands. This
module is valid in older versions of Python, so that it can refuse them.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

# Plugins' code runs with another `os._exit` in its place.
_exit = os._exit


def main() -> None:
    """Run a command as this process, and exit with its status (see `exit_status`)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Escape the characters that an output in Latin-1 or ASCII lacks.
            stream.reconfigure(errors="backslashreplace")
    if os.path.expanduser("~") == "~":
        _provide_home()
    sys.exit(exit_status())


def exit_status() -> int:
    """Run the command that `sys.argv` names and return its exit status.

    The status is 0 on success, 1 if a run failed, the machine cannot go on (as with a full disk) or
    nobody reads the output, 2 for invalid input or a file without permission, and 130 or 143 if
    interrupted.
    """
    import gc

    # Imports create hundreds of thousands of permanent objects. Collecting garbage among them
    # takes a tenth of the time of `ablab plan`.
    gc.set_threshold(50_000)
    from ablab.cli.supported import unsupported_python, unsupported_torch

    # The doctor examines torch itself; help and the version need none.
    without_torch = sys.argv[1:2] in ([], ["doctor"], ["--version"]) or "--help" in sys.argv
    fault = unsupported_python() or ("" if without_torch else unsupported_torch())
    if fault:
        print(f"ablab: {fault}", file=sys.stderr)
        return 2
    from ablab.cli.commands import app

    try:
        try:
            app()
        finally:
            _flush()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Print an error that users can do something about in one line, and return the exit status.

    Any other error is raised again.
    """
    from ablab.errors import RunFailed, UserError, machine_fault
    from ablab.names import printable

    status = 1
    if isinstance(error, UserError):
        message, status = str(error), 2
    elif isinstance(error, PermissionError):
        message, status = f"{error.filename}: permission denied", 2
    elif isinstance(error, RunFailed):
        message = str(error)
    else:
        message = machine_fault(error)
        if message is None and not isinstance(error, OSError):
            raise error
    print(f"ablab: {printable(message or str(error))}", file=sys.stderr)
    return status


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End at once, wherever the process is.

    An exception would be lost in callbacks, and libraries turn it into others while they are
    imported. Nothing is lost: files are published by renaming, and `ablab run` handles the signal
    itself while it trains.
    """
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # a progress bar hides the cursor
    _exit(128 + number)


def _provide_home() -> None:
    """Set HOME for a user who has none, since MLflow and Matplotlib fail or warn without it.

    The folder is private and temporary, so that nobody else can put settings into it.
    """
    import atexit
    import shutil
    import tempfile

    os.environ["HOME"] = tempfile.mkdtemp(prefix="ablab-")
    atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)


def _flush() -> None:
    """Write what stdout buffers. If that fails, discard it: the interpreter would try again."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


if __name__ == "__main__":
    main()
