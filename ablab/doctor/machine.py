"""Examines the processors, GPUs and memory of the machine."""

import math
from collections.abc import Iterator
from pathlib import Path

import psutil

from ablab.doctor.finding import Finding, ok, warning
from ablab.execute.memory import available_memory
from ablab.train.machine import cores, cpu_model

_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_BYTES_PER_WORKER = 2**30  # for the libraries, a small model and its tokens


def examine_processors() -> Iterator[Finding]:
    """Yield findings on the CPU and its threads, and on the GPUs."""
    yield _cpu()
    yield _gpus()


def _cpu() -> Finding:
    import torch

    limit = _core_limit()
    text = f"{cpu_model()}, {cores()} core(s), {torch.get_num_threads()} thread(s) in torch"
    if limit is not None and limit < cores():
        return warning(
            "cpu",
            f"{text}, but this container may use the time of {limit:g}: give --workers "
            f"{max(1, math.floor(limit))}",
        )
    return ok("cpu", text)


def _core_limit() -> float | None:
    """Return how many cores' time the container may use, or None if there is no limit."""
    if not _CPU_LIMIT.is_file():
        return None
    quota, _, period = _CPU_LIMIT.read_text().partition(" ")
    return int(quota) / int(period) if quota.isdigit() else None


def _gpus() -> Finding:
    import torch

    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        sizes = ", ".join(f"{gpu.name} ({_gigabytes(gpu.total_memory)})" for gpu in gpus)
        return ok("gpu", sizes)
    if not _NVIDIA_DRIVER.exists():
        return ok("gpu", "none: runs are trained on the CPU")
    reason = (
        "it is built for the CPU: install a build for CUDA (https://pytorch.org/get-started)"
        if torch.version.cuda is None
        else f"it is built for CUDA {torch.version.cuda}: see `nvidia-smi` for what the driver "
        "supports, and CUDA_VISIBLE_DEVICES for what may be used"
    )
    return warning("gpu", f"there is an NVIDIA driver, and torch does not use it; {reason}")


def examine_memory() -> Iterator[Finding]:
    """Yield a finding on the memory."""
    available = available_memory()
    text = f"{_gigabytes(available)} of {_gigabytes(psutil.virtual_memory().total)} available"
    most = max(1, available // _BYTES_PER_WORKER)
    if most < cores():
        yield warning("memory", f"{text}: give --workers {most}, or end other programs")
    else:
        yield ok("memory", text)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
