"""The content of a study's record: the resolved study, its plan, and where it was run.

One model for whoever writes, follows, exports or reports a study. `ablab.records.study_reader`
reads it, also as earlier versions wrote it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablab.data.batches import Batches
from ablab.design.layout import Contrast
from ablab.spec.study import Study
from ablab.train.budget import TimeLimit

VERSION = 2


@dataclass(frozen=True)
class Arm:
    """An arm at its size, with what one of its runs trains on."""

    name: str
    """Name in the study."""
    expression: str
    """Model expression, as `gpt2 + rope`."""
    plugins: tuple[str, ...]
    """Its own plugins and those of the recipe, with their options."""
    parameters: int
    """Trainable parameters."""
    flops_per_token: float
    """Training FLOPs per token."""
    tokens: int | None
    """Training tokens of a run; None where the clock decides."""
    steps: int | None
    """Optimizer steps of a run; None where the clock decides."""
    batches: Batches | TimeLimit
    """Batches of a run, or the time it has."""
    recipe: Mapping[str, Any]
    """Recipe in force, with the edits of the plugins."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Options that tuning or search chose."""
    mismatch: float | None = None
    """Share by which the matched quantity exceeds the baseline's; None where nothing is matched."""
    feed_forward: tuple[int, ...] = ()
    """Width of each feed-forward layer, where matching set it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Tokenizer and context of its own, in place of the study's."""

    @property
    def training_flops(self) -> float | None:
        """Training FLOPs of one run; None where the clock decides."""
        return None if self.tokens is None else self.tokens * self.flops_per_token


@dataclass(frozen=True)
class RunEntry:
    """A run of the design."""

    arm: str
    """Name of the arm."""
    seed: int
    """Random seed."""
    key: str
    """Key of the run's record."""


@dataclass(frozen=True)
class TrialEntry:
    """A trial of a tuning or a search."""

    arm: str
    """Name of the arm."""
    seed: int
    """Random seed."""
    key: str
    """Key of the run's record."""
    number: int
    """Number among the trials of its arm, or of the search."""
    params: Mapping[str, Any]
    """Options that were tried."""
    recipe: Mapping[str, Any] | None = None
    """Recipe in force; None where an earlier version did not record it."""


Entry = RunEntry | TrialEntry


@dataclass(frozen=True)
class SharedRuns:
    """Runs of every arm under one recipe, beside those under each arm's own."""

    params: Mapping[str, Any]
    """Options of that recipe."""
    runs: tuple[RunEntry, ...]
    """The runs; an arm whose own recipe this is shares them."""


@dataclass(frozen=True)
class Expected:
    """Size of a study once it is through, as far as it is known beforehand."""

    runs: int
    """Distinct runs; the minimum where more may follow."""
    trials: int
    """Distinct trials."""
    flops: float | None = None
    """Training FLOPs of all runs and trials; None where the clock decides."""
    most: int | None = None
    """Maximum number of runs, where more may follow."""

    @property
    def text(self) -> str:
        """The number of runs in words."""
        if self.most in (None, self.runs):
            return f"{self.runs} runs"
        return f"at least {self.runs}, at most {self.most} runs"


@dataclass(frozen=True)
class PartContent:
    """A part of a study: one budget or scale. A study at a single one has a single part."""

    label: str
    """Name of the part; empty where it is the only one."""
    study: Study
    """The study as this part asks it."""
    baseline: str
    """Arm that effects are measured against, and that a margin in percent refers to."""
    arms: tuple[Arm, ...]
    """Arms in the order of the design."""
    runs: tuple[RunEntry, ...]
    """Runs of the design; arms of equal value name the same runs."""
    trials: tuple[TrialEntry, ...]
    """Trials of tuning or search."""
    contrasts: tuple[Contrast, ...]
    """Effects that the design estimates."""
    expected: Expected
    """Number of runs and trials once all is decided."""
    infeasible: Mapping[str, str] = field(default_factory=dict)
    """Combinations that were left out, with the reason."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the design."""
    shared: SharedRuns | None = None
    """Runs with one recipe for all arms, once that is decided."""
    spare: tuple[Contrast, ...] = ()
    """Contrasts that are zero if the design's assumptions hold; earlier versions recorded none."""

    def title(self, arm: str) -> str:
        """Return the name of an arm, behind the part's if there are several."""
        return f"{self.label} · {arm}" if self.label else arm

    @property
    def run_entries(self) -> dict[str, RunEntry]:
        """The runs by key, those with the shared recipe among them."""
        shared = self.shared.runs if self.shared else ()
        return {run.key: run for run in (*shared, *self.runs)}

    @property
    def trial_entries(self) -> dict[str, TrialEntry]:
        """The trials by key that are not runs of the design as well."""
        runs = self.run_entries
        return {trial.key: trial for trial in self.trials if trial.key not in runs}


@dataclass(frozen=True)
class Sources:
    """Where a study was run, and from what: enough to run it again."""

    command: str
    """Arguments of the `ablab run` that wrote the record."""
    flop_convention: str
    """How FLOPs are counted, in words."""
    version: str = ""
    """Version of ablab."""
    numerics: int = 1
    """Version of the core's numerics (`ablab.train.numerics`)."""
    commit: str | None = None
    """Commit of the working folder; None without a repository."""
    changed: bool = False
    """Whether the working folder differed from that commit."""
    machine: str = ""
    """Platform, number of cores, and Python version."""
    tracking: str | None = None
    """Address of the MLflow store without its password; None for the local one."""
    checked: bool | None = None
    """Whether every arm was checked before it was trained; None where earlier versions did not
    check.
    """


@dataclass(frozen=True)
class TrackerState:
    """What a tracker shows of a study."""

    tracker: str
    """Address of the store without its password."""
    keys: tuple[str, ...]
    """Keys of the runs that stand there."""


@dataclass(frozen=True)
class StudyContent:
    """Content of the record of a study's revision."""

    name: str
    """Name of the study in its home."""
    revision: str
    """Revision: a digest of the resolved study."""
    study: Study
    """The resolved study, without where it is tracked."""
    parts: tuple[PartContent, ...]
    """Its parts, one at least."""
    expected: Expected
    """Number of runs and trials of all parts; a run of several parts counts once."""
    sources: Sources
    """Where it was run, and from what."""
    mirrored: TrackerState | None = None
    """What the tracker shows, once it shows all runs."""
    version: int = VERSION
    """Version of this form."""

    @property
    def run_entries(self) -> dict[str, RunEntry]:
        """The runs of all parts by key, each arm named with its part."""
        return {
            key: replace(entry, arm=part.title(entry.arm))
            for part in self.parts
            for key, entry in part.run_entries.items()
        }

    @property
    def trial_entries(self) -> dict[str, TrialEntry]:
        """The trials of all parts by key that are not runs as well, named likewise."""
        runs = self.run_entries
        return {
            key: replace(entry, arm=part.title(entry.arm))
            for part in self.parts
            for key, entry in part.trial_entries.items()
            if key not in runs
        }

    @property
    def entries(self) -> dict[str, Entry]:
        """The runs and trials of all parts by key."""
        return {**self.run_entries, **self.trial_entries}

    def as_json(self) -> dict[str, Any]:
        """Return the content in plain JSON types."""
        parts = [{**asdict(part), "study": _study(part.study)} for part in self.parts]
        return {**asdict(self), "study": _study(self.study), "parts": parts}


def _study(study: Study) -> dict[str, Any]:
    # An address may hold a password, and notes are not about one execution.
    return study.content("tracking", "notes")
