"""Fences: whoever has lost the right to a folder writes nothing to it any more.

A thread that has such a right, by a lease for example, works within `fenced`. All functions that
publish or append to files (`ablab.files`, `ablab.json_lines`) do that last step within
`permission`, so that no write can be forgotten. Threads and processes without a fence write freely.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path

Fence = Callable[[], AbstractContextManager[object]]
"""Returns a context in which nobody else can obtain the right; it raises if the right is lost."""

_FENCES: ContextVar[Mapping[Path, Fence]] = ContextVar("fences")


@contextmanager
def fenced(folder: Path, fence: Fence) -> Iterator[None]:
    """Have this thread write to files in `folder` only within `fence()`, while the block runs."""
    previous = _FENCES.set({**_FENCES.get({}), folder: fence})
    try:
        yield
    finally:
        _FENCES.reset(previous)


@contextmanager
def permission(path: Path) -> Iterator[None]:
    """Hold the permission to change the file `path` while the block runs.

    The block should be short: others who want the right wait for it. Blocks may be nested. Raises
    what the fence raises if the right is lost.
    """
    folder = path.parent
    fence = _FENCES.get({}).get(folder)
    if fence is None:
        yield
        return
    with fence(), fenced(folder, nullcontext):
        yield
