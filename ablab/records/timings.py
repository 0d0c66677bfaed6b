"""The costs in time of a study's arms: rounds, in each of which every arm was timed once."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ablab.data.batches import Batches
from ablab.json_lines import append_row, read_rows
from ablab.records.run_spec import RunSpec

# Options that say how fast weights change, not how long a step takes.
_WITHOUT_COST = {"lr", "warmup"}
# Share of the cores that other processes may keep busy during a quiet round.
_QUIET_SHARE = 0.1


@dataclass(frozen=True)
class ArmTime:
    """What an arm took in one round."""

    seconds_per_token: float
    """Time of a training step per token."""
    decode_tokens_per_second: float | None = None
    """Speed of decoding one sequence; None if the model cannot decode."""


@dataclass(frozen=True)
class TimingRound:
    """A round: every arm's turn, in random order."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    number: int
    """Number of the round, from 1."""
    conditions: str
    """Machine, device, threads and version of torch. Times are compared under equal conditions."""
    cores: int
    """Cores that the process could use."""
    other_load: float | None
    """Cores that other processes kept busy meanwhile; None if that is not known."""
    times: Mapping[str, ArmTime]
    """Times by `timing_id`."""

    @property
    def quiet(self) -> bool:
        """Whether other processes kept at most a tenth of the cores busy, as far as is known."""
        return self.other_load is None or self.other_load <= _QUIET_SHARE * self.cores


class TimingLog:
    """The rounds of a revision of a study, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, timing_round: TimingRound) -> None:
        """Add a round."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_row(self.path, asdict(timing_round))

    def rounds(self, ids: set[str] | None = None) -> list[TimingRound]:
        """Return the rounds under the conditions of the last one, oldest first.

        With `ids`, only rounds in which all of these were timed. Rows that another version of ablab
        wrote are left out.
        """
        rounds: list[TimingRound] = []
        for row in read_rows(self.path):
            try:
                rounds.append(_ADAPTER.validate_python(row))
            except ValidationError:
                continue
        complete = [r for r in rounds if ids is None or ids <= r.times.keys()]
        return [r for r in complete if r.conditions == complete[-1].conditions]


def timing_id(spec: RunSpec) -> str:
    """Return a digest of what determines how long a step of a run takes.

    It is the same for all seeds and budgets of an arm, so that the arm is timed once.
    """
    batches = spec.batches
    content = {
        "family": spec.family,
        "plugins": spec.plugins,
        "dims": dict(spec.dims),
        "feed_forward": spec.feed_forward,
        "recipe": {k: v for k, v in spec.recipe.items() if k not in _WITHOUT_COST},
        "batch": batches.largest if isinstance(batches, Batches) else batches.batch,
        "threads": spec.threads,
        "numerics": spec.numerics,
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_ADAPTER = TypeAdapter(TimingRound)
