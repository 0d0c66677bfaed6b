"""The costs in time of a part's arms, from the rounds in which they were timed side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ablab.plan.equal_arms import first_by_value
from ablab.records.study_content import PartContent
from ablab.records.timings import MIN_ROUNDS, TimingLog, TimingRound
from ablab.stats.two_way import Cells

TIMED = ("seconds_per_token", "decode_tokens_per_second")
"""Costs that are timed side by side after the runs, and not read off them."""


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


def timings_of(part: PartContent, log: TimingLog) -> Timings:
    """Return the costs in time of the arms of a part."""
    keys: dict[str, str] = {}  # of the first run of each arm
    for run in part.runs:
        keys.setdefault(run.arm, run.key)
    used = usable(log.rounds(runs=keys.values())) if keys else []
    if not used:
        return Timings()
    last = used[-1]
    digests = {arm: last.runs[key] for arm, key in keys.items()}
    cells: dict[str, dict[tuple[str, int], float]] = {name: {} for name in TIMED}
    for number, timing_round in enumerate(used, 1):
        for arm, digest in digests.items():
            for name in TIMED:
                value = getattr(timing_round.times[digest], name)
                if value is not None:
                    cells[name][arm, number] = value
    loads = [timing_round.other_load for timing_round in used]
    disturbed = not all(timing_round.quiet for timing_round in used)
    return Timings(
        cells=cells,
        first=first_by_value(digests),
        rounds=len(used),
        conditions=last.conditions,
        other_load=sum(loads) / len(loads) if disturbed else None,
        cores=last.cores,
    )


def usable(rounds: Sequence[TimingRound]) -> Sequence[TimingRound]:
    """Return the rounds that count: of those with the digests of the last one, the quiet rounds, or
    all of them if fewer than `MIN_ROUNDS` are quiet.
    """
    alike = [r for r in rounds if r.runs == rounds[-1].runs]
    quiet = [timing_round for timing_round in alike if timing_round.quiet]
    return quiet if len(quiet) >= min(MIN_ROUNDS, len(alike)) else alike
