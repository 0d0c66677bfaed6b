"""The specification of a run, as its record keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablab.data.batches import Batches
from ablab.train.budget import TimeLimit


@dataclass(frozen=True)
class RunSpec:
    """A run, as plain values that any process can rebuild it from. `batches`: see
    `ablab.data.batches.Batches`; none where there is a `limit`, see `ablab.train.budget.TimeLimit`.
    `feed_forward`: how wide each layer's was made, where arms are matched. `trial`: which of its
    arm's trials it is; None for a confirming run. `part`: the part of a study at several budgets or
    sizes. `threads`: CPU threads of each of its processes. `numerics`: the version of the core's
    numerics that trains it (records that state neither are of version 1).
    """

    key: str
    study: str
    arm: str
    seed: int
    family: str
    plugins: tuple[tuple[str, Mapping[str, Any]], ...]
    dims: Mapping[str, int | None]
    recipe: Mapping[str, Any]
    data: str
    batches: tuple[tuple[int, int], ...]
    flops_per_token: float
    validate_at: tuple[float, ...]
    checkpoint_seconds: float
    trial: int | None = None
    limit: Mapping[str, Any] | None = None
    feed_forward: tuple[int, ...] = ()
    part: str = ""
    threads: int = 1
    numerics: int = 1

    @property
    def allowance(self) -> Batches | TimeLimit:
        """What it may spend."""
        return Batches(self.batches) if self.limit is None else TimeLimit(**self.limit)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "RunSpec":
        """From JSON. Raises TypeError for fields that are not its own."""
        return cls(
            **{**content, "plugins": tuple((name, options) for name, options in content["plugins"])}
        )

    @property
    def label(self) -> str:
        """What people read."""
        return (
            f"{self.title} · seed {self.seed}"
            if self.trial is None
            else f"{self.title} · trial {self.trial}"
        )

    @property
    def title(self) -> str:
        """Its arm, behind the part if there are several."""
        return f"{self.part} · {self.arm}" if self.part else self.arm
