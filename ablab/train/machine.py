"""What a machine is, in words: what decides how far a run comes in a second."""

import os
import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def told(device: str, cores: int, threads: int) -> str:
    """A machine in words: `device` is a GPU's name, or cpu; `threads`: of each process of a run."""
    return f"{device}; {cpu_model()}, {cores} core(s), {threads} thread(s) a process"


def machine_here() -> str:
    """The machine in use, as this process trains on it."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return told(device, cores(), torch.get_num_threads())


@cache
def cpu_model() -> str:
    """The CPU's name, where the system tells it, else its architecture."""
    if _CPUINFO.exists():
        names = (
            line.partition(":")[2].strip()
            for line in _CPUINFO.read_text().splitlines()
            if line.startswith("model name")
        )
        if name := next(names, ""):
            return name
    return platform.processor() or platform.machine()
