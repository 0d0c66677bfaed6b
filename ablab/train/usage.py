"""Resource usage of the training process, under the names that MLflow shows as system metrics."""

from time import perf_counter

import psutil
import torch

SECONDS_BETWEEN = 10.0


class Usage:
    """Measures this process since the last sample. A sample takes less than a millisecond."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu = self._spent()
        self._at = perf_counter()
        self._next = 0.0

    def sample(self) -> dict[str, float]:
        """Return usage since the last sample, or an empty dictionary within `SECONDS_BETWEEN` of
        it.

        CPU utilization is in percent of one core. Memory, in units of 1e6 bytes, is resident memory
        and what the allocator reserves on the GPU. GPU utilization is included if nvidia-ml-py is
        installed.
        """
        now = perf_counter()
        if now < self._next:
            return {}
        self._next = now + SECONDS_BETWEEN
        cpu = self._spent()
        share = 100 * (cpu - self._cpu) / max(now - self._at, 1e-3)
        self._cpu = cpu
        self._at = now
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
    metrics = {"system/gpu_memory_usage_megabytes": torch.cuda.memory_reserved() / 1e6}
    try:
        return {**metrics, "system/gpu_utilization_percentage": float(torch.cuda.utilization())}
    except Exception:  # nvidia-ml-py is missing or fails: omit the figure, do not fail the run
        return metrics
