"""The costs in time of a part's arms, from the rounds in which they were timed side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablab.plan.equal_arms import first_by_value
from ablab.records.run_record import Record
from ablab.records.study_content import PartContent
from ablab.records.timings import TimingLog, TimingRound, timing_id
from ablab.stats.two_way import Cells

_MIN_ROUNDS = 4
_COSTS = ("seconds_per_token", "decode_tokens_per_second")


@dataclass(frozen=True)
class Timings:
    """Costs in time by (arm, round); empty where the arms were not timed."""

    cells: Mapping[str, Cells] = field(default_factory=dict)
    """The cells by name of the cost."""
    first: Mapping[str, str] = field(default_factory=dict)
    """By arm, the first arm that takes the same time."""
    rounds: int = 0
    """Number of rounds."""
    conditions: str = ""
    """Machine and number of threads."""
    other_load: float | None = None
    """Cores that other processes kept busy meanwhile, on average, if not all rounds were quiet."""
    cores: int = 0
    """Cores that the process could use."""

    @property
    def notes(self) -> list[str]:
        """What a reader must know of them."""
        if not self.rounds:
            return []
        lines = [
            f"costs in time: arms in turn over {self.rounds} rounds after the runs, in one process "
            f"({self.conditions}); ratios are those within rounds"
        ]
        if self.other_load is not None:
            lines.append(
                f"other processes kept {self.other_load:.1f} of {self.cores} core(s) busy while "
                "the arms were timed: `ablab run` on a quiet machine times them again"
            )
        return lines


def timings_of(home: Path, part: PartContent, log: TimingLog) -> Timings:
    """Return the costs in time of the arms of a part. `home` is the folder of records."""
    ids = _timing_ids(home, part)
    rounds = log.rounds(set(ids.values())) if ids else []
    used = _quiet(rounds)
    if not used:
        return Timings()
    cells: dict[str, dict[tuple[str, int], float]] = {name: {} for name in _COSTS}
    for timing_round in used:
        for arm, timing in ids.items():
            for name in _COSTS:
                value = getattr(timing_round.times[timing], name)
                if value is not None:
                    cells[name][arm, timing_round.number] = value
    loads = [r.other_load or 0.0 for r in used]
    disturbed = not all(r.quiet for r in used)
    return Timings(
        cells=cells,
        first=first_by_value(ids),
        rounds=len(used),
        conditions=used[-1].conditions,
        other_load=sum(loads) / len(loads) if disturbed else None,
        cores=used[-1].cores,
    )


def _quiet(rounds: Sequence[TimingRound]) -> Sequence[TimingRound]:
    """Return the quiet rounds, or all of them if too few are quiet."""
    quiet = [timing_round for timing_round in rounds if timing_round.quiet]
    return quiet if len(quiet) >= min(_MIN_ROUNDS, len(rounds)) else rounds


def _timing_ids(home: Path, part: PartContent) -> dict[str, str]:
    """Return the `timing_id` of each arm, by the specification of its first run."""
    ids: dict[str, str] = {}
    for run in part.runs:
        if run.arm not in ids:
            spec = Record(home, run.key).spec
            if spec is not None:
                ids[run.arm] = timing_id(spec)
    return ids
