"""What the process that trains takes of its machine, under names that MLflow shows as system
metrics.
"""

from time import perf_counter

import psutil
import torch

SECONDS_BETWEEN = 10.0


class Usage:
    """Measures this process since the last sample; a sample takes less than a millisecond."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu, self._at, self._next = self._spent(), perf_counter(), 0.0

    def sample(self) -> dict[str, float]:
        """Empty until `SECONDS_BETWEEN` have passed since the last one; CPU: 100 is one core;
        memory in 1e6 bytes: the resident of this process, and what its allocator holds of the GPU;
        the GPU's own utilization, where nvidia-ml-py is installed.
        """
        now = perf_counter()
        if now < self._next:
            return {}
        cpu, self._next = self._spent(), now + SECONDS_BETWEEN
        share = 100 * (cpu - self._cpu) / max(now - self._at, 1e-3)
        self._cpu, self._at = cpu, now
        memory = self._process.memory_info().rss / 1e6
        return {
            "system/cpu_utilization_percentage": share,
            "system/memory_usage_megabytes": memory,
            **_gpu(),
        }

    def _spent(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def _gpu() -> dict[str, float]:
    if not torch.cuda.is_available():
        return {}
    held = {"system/gpu_memory_usage_megabytes": torch.cuda.memory_reserved() / 1e6}
    try:
        return {**held, "system/gpu_utilization_percentage": float(torch.cuda.utilization())}
    except (
        Exception
    ):  # without nvidia-ml-py, or what that raises: a figure is missing, no run fails
        return held
