"""The memory of a worker process: its limit, and its growth over runs."""

import ctypes
import gc
import sys
from pathlib import Path

import psutil

_SHARE = 0.9  # of the memory that is available, for all workers together
_LEAST = 2**30  # a worker needs a quarter of this for its libraries
_GROWTH = 1.1
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_memory() -> int:
    """Return the bytes of memory that are available on this machine, or the limit of the container
    that the process is in if that is less.
    """
    limits = [psutil.virtual_memory().available]
    for path in map(Path, _CGROUP_LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def worker_share(workers: int) -> int:
    """Return the bytes of private memory that each of so many workers may use: an equal share of
    nine tenths of what is available now.
    """
    return max(_LEAST, int(_SHARE * available_memory() / workers))


def limit_memory(size: int) -> None:
    """Have allocations fail that would take the private memory of this process above `size` bytes.

    It counts memory that was allocated, not address space that was reserved, as CUDA does. Only
    Linux counts this.
    """
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class MemoryGrowth:
    """Compares the memory of this process after each run with that after its first."""

    def __init__(self) -> None:
        self._first: int | None = None

    def exceeded(self) -> bool:
        """Return whether the process has grown by more than a tenth since its first run."""
        size = psutil.Process().memory_info().rss
        if self._first is None:
            self._first = size
        if size <= _GROWTH * self._first:
            return False
        _release_free_memory()  # takes time, and copies pages that a fork shares
        return psutil.Process().memory_info().rss > _GROWTH * self._first


def _release_free_memory() -> None:
    """Give memory back to the system that the allocator keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
