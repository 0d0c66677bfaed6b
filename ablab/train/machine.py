"""A description of the machine, which determines how many steps a run makes per second."""

import os
import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine(device: str, cores: int, threads: int) -> str:
    """Describe a machine. `device` is the name of a GPU, or cpu; `threads` is the number per
    process of a run.
    """
    return f"{device}; {cpu_model()}, {cores} core(s), {threads} thread(s) a process"


def machine_here() -> str:
    """Describe the current machine as this process uses it."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return describe_machine(device, cores(), torch.get_num_threads())


@cache
def processor() -> str:
    """Return the name of the GPU, or the model of the CPU with the vector instructions that torch
    uses. Runs on other processors may differ in the last digits.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{cpu_model()} ({torch.backends.cpu.get_cpu_capability()})"


@cache
def cpu_model() -> str:
    """Return the name of the CPU if the system reports it, else its architecture."""
    if _CPUINFO.exists():
        names = (
            line.partition(":")[2].strip()
            for line in _CPUINFO.read_text().splitlines()
            if line.startswith("model name")
        )
        name = next(names, "")
        if name:
            return name
    return platform.processor() or platform.machine()
