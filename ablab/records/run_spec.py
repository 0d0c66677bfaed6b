"""The specification of a run, as its record keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ablab.data.batches import Batches
from ablab.train.budget import TimeLimit


@dataclass(frozen=True)
class RunSpec:
    """A run in plain values, from which any process can rebuild it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    key: str
    """Key of the run: a digest of everything that determines its numbers."""
    study: str
    """Name of the study that first planned it."""
    arm: str
    """Name of the arm."""
    seed: int
    """Random seed of the weights and of the order of the data."""
    family: str
    """Model family that the plugins are applied to."""
    plugins: tuple[tuple[str, Mapping[str, Any]], ...]
    """Plugins in the order in which they are applied, each with the options that differ from its
    defaults.
    """
    dims: Mapping[str, int | None]
    """Sizes of the model."""
    recipe: Mapping[str, Any]
    """Recipe of the study, before the edits of the plugins."""
    data: str
    """Fingerprint of the token store."""
    batches: Batches | TimeLimit
    """Batches of the run, or the time it has."""
    flops_per_token: float
    """Training FLOPs per token."""
    validate_at: tuple[float, ...]
    """Shares of the budget at which the validation split is scored."""
    checkpoint_seconds: float
    """Minimum time between two checkpoints."""
    trial: int | None = None
    """Number among the trials of its arm; None for a run of the design."""
    feed_forward: tuple[int, ...] = ()
    """Width of each feed-forward layer, where matching set it."""
    part: str = ""
    """Label of the part of the study; empty in a study of one part."""
    threads: int = 1
    """CPU threads of each of its processes."""
    numerics: int = 1
    """Version of the core's numerics that trains it; records that do not say are of version 1."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "RunSpec":
        """Return the specification in a run's record.

        Raises:
            ValueError: if it is none, or of a later version.

        """
        fields = dict(content)
        if isinstance(fields.get("batches"), list):  # version 1 kept a time limit in its own field
            limit = fields.pop("limit", None)
            fields["batches"] = {"runs": fields["batches"]} if limit is None else limit
        try:
            return _ADAPTER.validate_python(fields)
        except ValidationError as error:
            raise ValueError(str(error)) from error

    @property
    def label(self) -> str:
        """Name of the run for people."""
        if self.trial is None:
            return f"{self.title} · seed {self.seed}"
        return f"{self.title} · trial {self.trial}"

    @property
    def title(self) -> str:
        """Name of the arm, behind that of the part if there are several."""
        return f"{self.part} · {self.arm}" if self.part else self.arm


_ADAPTER = TypeAdapter(RunSpec)
