"""Calls of plugins' code, which may raise anything, end the process, print without end or hang."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from traceback import walk_stack, walk_tb
from types import FrameType
from typing import Any, NoReturn

from ablab.arch.composition.bounded_output import BoundedOutput
from ablab.arch.composition.declare import LOOSE_PACKAGE, declared_plugins
from ablab.errors import UserError, root_cause

PLANNING_SECONDS = 60.0
"""Processor time that one call may take while a study is planned: importing a module, an edit, or
building and counting a model. It may last ten times as long, since the machine may be busy.
"""
_LATEST = 10.0
_PLANNING_OUTPUT = 10_000  # characters that plugins may print while a study is planned
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory")  # by torch's CPU allocator
_IGNORED_ALARMS = 3  # after which the process ends, since the plugin catches every exception
end_process = os._exit
"""Ends the process at once, also where plugins' code is kept from doing so."""
_active = threading.local()


class PluginExit(BaseException):
    """A plugin called `os._exit`."""


class PluginTimeout(BaseException):
    """A call of a plugin's code exceeded its time limit."""


@contextmanager
def planning() -> Iterator[None]:
    """Guard plugins' code while a study is planned, for `PLANNING_SECONDS`. A context around many
    calls is cheaper than one for each.
    """
    with guarded(PLANNING_SECONDS, _planning_output()):
        yield


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Convert whatever the plugins' code within the context raises to UserError, behind `what`,
    `planning` meanwhile. A UserError of the plugin passes unchanged, and so does the user's Ctrl-C.
    """
    try:
        with planning():
            yield
    except UserError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _interrupted():
            raise
        raise UserError(f"{what}: {reason_of(error)}") from error


@contextmanager
def guarded(seconds: float | None, output: BoundedOutput) -> Iterator[None]:
    """Contain plugins' code: `os._exit` raises PluginExit, what is printed goes to `output`, and
    PluginTimeout is raised after `seconds` of processor time or ten times as long.

    In threads other than the main one, time and output are left alone. Code that does not return
    to Python, and other ways to end a process than `os._exit`, are not covered. Within a guarded
    context this does nothing.
    """
    if getattr(_active, "value", False):
        yield
        return
    _active.value = True
    _active.interrupted = False
    os._exit = _raise_exit
    try:
        with _time_limit(seconds), _redirected(output):
            yield
    finally:
        os._exit = end_process
        _active.value = False


def reason_of(error: BaseException) -> str:
    """Describe an exception in one line, with the place in a plugin where it was raised."""
    root = _root(error)
    place = _place(reversed(list(walk_tb(root.__traceback__))))
    if isinstance(root, SyntaxError) and root.filename and Path(root.filename).is_file():
        place = f"{shortest_path(root.filename)}:{root.lineno}"
    text = " ".join(str(root).split())
    if isinstance(root, PluginExit):
        what = f"it calls os._exit({text})"
    elif isinstance(root, SystemExit):
        what = f"it calls sys.exit({text})"
    elif isinstance(root, PluginTimeout):
        what = f"it does not end within {text} s"
    elif isinstance(root, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        what = f"out of memory{_memory_limit()}"
    elif isinstance(root, SyntaxError):
        what = f"{type(root).__name__}: {root.msg}"
    else:
        what = f"{type(root).__name__}: {text}" if text else type(root).__name__
    return f"{what} ({place})" if place else what


def _root(error: BaseException) -> BaseException:
    """Return the exception that `error` stems from: libraries wrap the one that tells what is
    wrong, and may turn one that would end the process into another.
    """
    if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
        return error.__context__  # Lightning ends the process on KeyboardInterrupt
    return root_cause(error)


def _place(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Return the plugin and the line of the first of the frames that is in a plugin's module, or in
    a loose file that declares none yet; empty if there is none.
    """
    for frame, line in frames:
        name = frame.f_globals.get("__name__", "")
        module = sys.modules.get(name)
        declared = declared_plugins(module) if module else {}
        if declared or name.startswith(LOOSE_PACKAGE):
            names = ", ".join(sorted(plugin.name for plugin in declared.values()))
            place = f"{shortest_path(frame.f_code.co_filename)}:{line}"
            return f"plugin {names}, {place}" if names else place
    return ""


def shortest_path(file: str) -> str:
    """Return the path of a file relative to the working folder if it is below that."""
    path = Path(file)
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file


def _memory_limit() -> str:
    if sys.platform != "linux":
        return ""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY:
        return ""
    return f": a worker may use {soft / 1e9:.1f} GB (take fewer --workers for more)"


@contextmanager
def _redirected(output: BoundedOutput) -> Iterator[None]:
    """Redirect the standard streams. They are the process's, so that a driver that trains in a
    thread goes on printing to its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with redirect_stdout(output), redirect_stderr(output):
        yield


def _raise_exit(status: int = 0) -> NoReturn:
    raise PluginExit(status)


def _interrupted() -> bool:
    return getattr(_active, "interrupted", False)


def _planning_output() -> BoundedOutput:
    """Return where plugins print while a study is planned: the standard error, up to a limit.

    Standard output may be read by a program.
    """
    output = getattr(_active, "output", None)
    if output is None or output.target is not sys.stderr:
        if isinstance(sys.stderr, BoundedOutput):
            return sys.stderr
        output = _active.output = BoundedOutput(sys.stderr, _PLANNING_OUTPUT)
    return output


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise PluginTimeout when the time is up, and note whether the user pressed Ctrl-C."""
    if threading.current_thread() is not threading.main_thread() or seconds is None:
        yield
        return
    ignored = [0]

    def expire(number: int, frame: FrameType | None) -> None:
        ignored[0] += 1
        if ignored[0] > _IGNORED_ALARMS:
            place = _place(walk_stack(frame)) or "a plugin"
            print(f"ablab: {place} hangs and cannot be stopped", file=sys.__stderr__)
            end_process(2)
        raise PluginTimeout(f"{seconds:g}")

    interrupt = signal.getsignal(signal.SIGINT)

    def note_interrupt(number: int, frame: FrameType | None) -> None:
        _active.interrupted = True
        assert callable(interrupt)
        interrupt(number, frame)

    handlers: dict[signal.Signals, Callable[..., Any]] = {
        signal.SIGPROF: expire,
        signal.SIGALRM: expire,
    }
    if callable(interrupt):
        handlers[signal.SIGINT] = note_interrupt
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    signal.setitimer(signal.ITIMER_REAL, _LATEST * seconds, 1.0)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0.0)
        for number, handler in previous.items():
            signal.signal(number, handler)
