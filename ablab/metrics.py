"""The metrics and costs that runs are compared by, and which way each improves.

Whatever ranks, judges or optimizes values takes the direction from here, so a metric that a run
records needs one entry in `METRICS` and nothing else. This module imports nothing of the project.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Direction = Literal["minimize", "maximize"]
Split = Literal["train", "val", "test"]
K = TypeVar("K")


@dataclass(frozen=True)
class Metric:
    """A number that a run records, such as `val/bpb` in bits per byte."""

    name: str
    """The name in study files and records."""
    split: Split | None
    """The part of the corpus it is computed on; None for a cost."""
    direction: Direction
    """Whether lower or higher values are better."""
    unit: str
    """Unit of the value."""
    per: str
    """What one `unit` is counted per: `byte`, `token`, `run`."""
    tokenizer_independent: bool = True
    """Whether values compare between arms whose tokenizers differ."""

    @property
    def sign(self) -> int:
        """1 if higher values are better, -1 if lower values are."""
        return 1 if self.direction == "maximize" else -1

    @property
    def best_is(self) -> str:
        """`lowest` or `highest`, whichever is best."""
        return self.pick(lower="lowest", higher="highest")

    def as_loss(self, value: float) -> float:
        """The value, negated if higher is better: ascending order puts the best first."""
        return -self.sign * value

    def pick(self, *, lower: str, higher: str) -> str:
        """The text for a metric of which lower values are better, or that for the opposite."""
        return higher if self.direction == "maximize" else lower

    def best(self, values: Mapping[K, float]) -> K:
        """The key of the best value; the first of equals."""
        return min(values, key=lambda key: self.as_loss(values[key]))

    def on(self, split: Split) -> str:
        """The name of the same metric on another split."""
        return f"{split}/{self.name.partition('/')[2]}"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("train/loss", "train", "minimize", "nats", "token", tokenizer_independent=False),
        Metric("val/bpb", "val", "minimize", "bits", "byte"),
        Metric("val/loss", "val", "minimize", "nats", "token", tokenizer_independent=False),
        Metric("test/bpb", "test", "minimize", "bits", "byte"),
        Metric("test/loss", "test", "minimize", "nats", "token", tokenizer_independent=False),
        Metric("cost/seconds", None, "minimize", "seconds", "run"),
        Metric("cost/parameters", None, "minimize", "parameters", "model"),
        Metric("cost/flops", None, "minimize", "FLOPs", "run"),
        Metric("cost/tokens", None, "minimize", "tokens", "run", tokenizer_independent=False),
        Metric("cost/peak_memory_bytes", None, "minimize", "bytes", "device"),
        Metric("cost/kv_cache_bytes", None, "minimize", "bytes", "sequence"),
        Metric(
            "cost/decode_tokens_per_second",
            None,
            "maximize",
            "tokens",
            "second",
            tokenizer_independent=False,
        ),
    )
}


def study_metrics() -> list[str]:
    """The metrics that a study may be judged by: those of the validation split."""
    return [name for name, metric in METRICS.items() if metric.split == "val"]


def goals(names: Iterable[str]) -> str:
    """What optimizing these metrics means, in words: `low val/bpb, cost/flops`."""
    low = [name for name in names if METRICS[name].direction == "minimize"]
    high = [name for name in names if METRICS[name].direction == "maximize"]
    words = [f"low {', '.join(low)}"] if low else []
    return " and ".join([*words, *([f"high {', '.join(high)}"] if high else [])])
