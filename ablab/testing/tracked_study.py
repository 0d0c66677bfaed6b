"""A planned study for the conformance suite of trackers, and what a tracker shows of its runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablab.execute.session import Request, planned
from ablab.plan.plan import StudyPlan
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.study_record import StudyRecord
from ablab.spec.study import Study
from ablab.train.result import RunCost, RunResult

METRIC = "val/bpb"
FINAL = 2.5
_STUDY = """\
question: Is every run shown once?
design: {{kind: compare}}
arms: {{gpt2: gpt2, gpt2 + rope: gpt2 + rope}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: [{files}], tokenizer: {{kind: bpe, vocab: 300}}}}
budget: {{steps: 4}}
seeds: 1
recipe: {{batch_tokens: 64}}
metric: val/bpb
"""
_RESULT = RunResult(
    diverged=False,
    steps=4,
    precision="fp32",
    device="cpu",
    threads=1,
    versions={},
    metrics={"train/loss": 2.4, "val/loss": 2.3, METRIC: FINAL},
    cost=RunCost(
        tokens=256,
        flops=1e6,
        seconds=1.0,
        validation_seconds=0.1,
        tokens_per_second=256.0,
        parameters=1000,
    ),
)


@dataclass(frozen=True)
class ShownRun:
    """What a tracker shows of a run.

    `state` is "running", "finished", "failed" or "stopped". `final` has the final metrics that the
    tracker shows, `val/bpb` among them if the run is finished, and `points` the name and the step
    of every measurement, as often as it is shown.
    """

    state: str
    final: Mapping[str, float] = field(default_factory=dict)
    points: Sequence[tuple[str, int]] = ()


@dataclass
class TrackedStudy:
    """A planned study of two runs in a home. `lines` are those that the tracker has said."""

    record: StudyRecord
    study: Study
    plan: StudyPlan
    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Note a line that the tracker says."""
        self.lines.append(line)

    @property
    def spec(self) -> RunSpec:
        """The first run of the study."""
        return self.plan.runs[0]

    def run(self, spec: RunSpec) -> Record:
        """Return the record of a run."""
        return Record(self.record.home.root, spec.key)

    def begin(self, spec: RunSpec) -> None:
        """Write a run's specification and its first measurements, as a worker does."""
        self.run(spec).create(spec)
        self.measure(spec, (1, 2))

    def measure(self, spec: RunSpec, steps: Sequence[int]) -> None:
        """Append measurements at these steps."""
        for step in steps:
            self.run(spec).metrics.append(step, {METRIC: 5.0 - step, "train/loss": 5.0})

    def finish(self, spec: RunSpec) -> None:
        """Write a run's result."""
        self.run(spec).finish(_RESULT)


def make_tracked_study(folder: Path, name: str) -> TrackedStudy:
    """Plan the study `name` in a new home in `folder`; none of its runs has begun."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(30):
        lines = [f"line {line} of file {number}\n" for line in range(100)]
        (corpus / f"{number:02}.txt").write_text("".join(lines))
    file = folder / f"{name}.yaml"
    file.write_text(_STUDY.format(files=json.dumps(f"{corpus}/*.txt")))
    home = make_home(folder / "home")
    plan = planned(Request(file, None, (), ()), home.root)
    record = StudyRecord(home, plan.request.name, plan.study.revision())
    return TrackedStudy(record, plan.study, plan.plan)
