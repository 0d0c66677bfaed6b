"""The costs in time of a study's arms: rounds, in each of which every arm was timed once."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ablab.json_lines import append_row, read_rows
from ablab.train.result import ArmTime

MIN_ROUNDS = 6
"""Smallest number of rounds that an interval is computed from. If the arm whose turn comes first is
always the faster one, four rounds in random orders agree by chance in 1 of 8 comparisons of equal
arms, and six in 1 of 32.
"""
# Share of the cores that other processes may keep busy during a quiet round.
_QUIET_SHARE = 0.1


@dataclass(frozen=True)
class TimingRound:
    """A round: every arm's turn, in random order."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    conditions: str
    """Machine, device, threads and version of torch. Times are compared under equal conditions."""
    cores: int
    """Cores that the process could use."""
    other_load: float
    """Cores that other processes kept busy meanwhile."""
    runs: Mapping[str, str]
    """Digest of what was timed, by the key of a run of each arm; arms that take the same time share
    one.
    """
    times: Mapping[str, ArmTime]
    """Times by digest."""

    @property
    def quiet(self) -> bool:
        """Whether other processes kept at most a tenth of the cores busy."""
        return self.other_load <= _QUIET_SHARE * self.cores


class TimingLog:
    """The rounds of a study, in the file `path`. Its revisions share them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, timing_round: TimingRound) -> None:
        """Add a round."""
        append_row(self.path, asdict(timing_round))

    def rounds(
        self,
        *,
        runs: Collection[str] = (),
        digests: Collection[str] = (),
        conditions: str | None = None,
    ) -> list[TimingRound]:
        """Return the rounds under `conditions`, by default those of the last one, oldest first.

        Rounds in which not all of the `runs`, or not all `digests`, were timed are left out, and so
        are rows that another version of ablab wrote.
        """
        rounds: list[TimingRound] = []
        for row in read_rows(self.path):
            try:
                rounds.append(_ADAPTER.validate_python(row))
            except ValidationError:
                continue
        complete = [
            timing_round
            for timing_round in rounds
            if timing_round.runs.keys() >= set(runs) and timing_round.times.keys() >= set(digests)
        ]
        if conditions is None and complete:
            conditions = complete[-1].conditions
        return [timing_round for timing_round in complete if timing_round.conditions == conditions]


_ADAPTER = TypeAdapter(TimingRound)
