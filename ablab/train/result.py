"""The result of a finished run: what was measured, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass

ONE_PROCESS = "1 process"


@dataclass(frozen=True)
class RunCost:
    """What a run cost. A figure that could not be measured is None."""

    tokens: int
    """Training tokens."""
    flops: float
    """Training FLOPs, by the convention in `ablab.arch.counting.account`."""
    seconds: float
    """Time in training steps."""
    validation_seconds: float
    """Time in validation and scoring; in results without `measuring_seconds`, also in measuring
    memory and decoding.
    """
    tokens_per_second: float
    """Training tokens per second of training steps; 0 if no time was measured."""
    parameters: int
    """Trainable parameters of the model."""
    measuring_seconds: float | None = None
    """Time in measuring memory and decoding."""
    peak_memory_bytes: float | None = None
    """Peak memory of a training step, on the device that needed most."""
    decode_tokens_per_second: float | None = None
    """Speed of greedy decoding with the KV cache, for one sequence."""
    kv_cache_bytes: float | None = None
    """Size of the KV cache of one sequence of the full context."""

    @property
    def busy_seconds(self) -> float:
        """Time in training steps, validation and measuring costs."""
        return self.seconds + self.validation_seconds + (self.measuring_seconds or 0.0)

    @property
    def seconds_per_token(self) -> float | None:
        """Training time per token."""
        return 1 / self.tokens_per_second if self.tokens_per_second else None


@dataclass(frozen=True)
class ArmTime:
    """What an arm took in one of the turns in which the arms of a study are timed."""

    seconds_per_token: float
    """Time of a training step per token of its batch; the median over the steps of the turn."""
    decode_tokens_per_second: float | None = None
    """Speed of decoding one sequence; None if the model cannot decode."""


@dataclass(frozen=True)
class RunResult:
    """Result of a finished run."""

    diverged: bool
    """Whether a loss was not finite, or the run ended above its start."""
    steps: int
    """Optimizer steps taken."""
    precision: str
    """Numeric format of training: `fp32`, `bf16` or `fp64`."""
    device: str
    """`cpu`, or the name of the GPU."""
    threads: int
    """CPU threads of each process."""
    versions: Mapping[str, str]
    """Versions of the libraries that determine the numbers, by name."""
    metrics: Mapping[str, float]
    """Final values by metric, as `val/bpb`; not finite if the run diverged."""
    cost: RunCost
    """What the run cost."""
    layout: str = ONE_PROCESS
    """How the run was shared among processes."""
    processors: tuple[str, ...] = ()
    """Processors that the run was trained on, several if it was resumed on another; empty in
    results of earlier versions.
    """
    process_changes: tuple[str, ...] = ()
    """What the run's plugins changed in its process, in words. No other run was affected."""

    def value(self, metric: str) -> float:
        """Return a metric (`val/bpb`) or a cost (`cost/seconds`).

        Raises:
            KeyError: if the run has no such value.

        """
        kind, _, name = metric.partition("/")
        value = getattr(self.cost, name, None) if kind == "cost" else self.metrics.get(metric)
        if value is None:
            raise KeyError(metric)
        return value
