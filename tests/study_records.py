"""Studies' records and runs' results made by hand, where no study is planned."""

from collections.abc import Iterable
from pathlib import Path

from ablab.records.home import make_home
from ablab.records.study_content import (
    Expected,
    PartContent,
    RunEntry,
    Sources,
    StudyContent,
    TrialEntry,
)
from ablab.records.study_record import StudyRecord
from ablab.spec.study import Study

STUDY = Study.model_validate(
    {
        "question": "Does it help?",
        "from": "gpt2",
        "to": "llama",
        "design": {"kind": "compare"},
        "model": {"layers": 1, "width": 16, "heads": 2, "context": 16},
        "data": {"source": "text", "files": ["*.txt"], "tokenizer": {"kind": "bpe", "vocab": 300}},
        "budget": {"steps": 4},
    }
)


def part_content(
    runs: Iterable[RunEntry], trials: Iterable[TrialEntry] = (), study: Study = STUDY
) -> PartContent:
    """The only part of a study with these runs and trials."""
    runs, trials = tuple(runs), tuple(trials)
    keys = {run.key for run in runs}
    return PartContent(
        label="",
        study=study,
        baseline="gpt2",
        arms=(),
        runs=runs,
        trials=trials,
        contrasts=(),
        expected=Expected(len(keys), len({trial.key for trial in trials} - keys)),
    )


def write_study(
    root: Path,
    name: str,
    runs: Iterable[RunEntry],
    trials: Iterable[TrialEntry] = (),
    revision: str = "r1",
) -> StudyRecord:
    """Write the record of a study of one part into the home at `root`."""
    part = part_content(runs, trials)
    home = make_home(root)
    home.create()
    record = StudyRecord(home, name, revision)
    sources = Sources(command="x.yaml", flop_convention="")
    content = StudyContent(name, revision, part.study, (part,), part.expected, sources)
    record.write(content)
    return record
