"""How long a study's report takes to make, and how large it is: `python -m benchmarks.report`.

Two studies, a full factorial of 64 runs and one of 1,024, whose runs left a hundred rows of
training loss each. Prints seconds for the summary and for all the report's files, and the page's
size. Limits: 15 s and 3 MB, 60 s and 5 MB.
"""

import os
import tempfile
import time
from pathlib import Path

from ablab.analysis.summarise import summarise
from ablab.execute.session import Request, planned
from ablab.plan.content import study_content
from ablab.records.home import Home, make_home
from ablab.records.run_record import Record
from ablab.records.study_content import Sources
from ablab.records.study_record import StudyRecord
from ablab.report.files import write_files
from tests.report.realistic import leave

STUDY = """\
question: Which of these changes to GPT-2 pay for themselves?
from: gpt2
design: {{kind: factorial, changes: [{changes}]}}
model: {{layers: 2, width: 32, heads: 4, context: 64}}
data: {{source: stdlib, tokenizer: {{kind: byte}}}}
budget: {{tokens: 1.0e+6}}
seeds: 4
recipe: {{batch_tokens: 512, lr: 2.0e-3}}
"""
CHANGES = (
    "rope",
    "rmsnorm",
    "swiglu",
    "no_bias",
    "untied_embeddings",
    "mqa",
    "parallel_block",
    "qk_norm",
)


def carried_out(home: Home, changes: int) -> StudyRecord:
    """A factorial of so many changes on four seeds, whose runs are through."""
    file = home.root / f"factorial{changes}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(STUDY.format(changes=", ".join(CHANGES[:changes])))
    asked = planned(Request(file, None, (), ()), home.root)
    record = StudyRecord(home, asked.request.name, asked.study.revision())
    sources = Sources(command=file.name, flop_convention="counted")
    record.write(study_content(record, asked.study, asked.plan, sources))
    asked.costs.write()
    for spec in asked.plan.runs:
        run = Record(home.root, spec.key)
        run.create(spec)
        leave(run, spec)
    return record


def main() -> None:
    """Prints both."""
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before it began")
    for changes in (4, 8):
        with tempfile.TemporaryDirectory() as folder:
            record = carried_out(make_home(Path(folder)), changes)
            start = time.perf_counter()
            summary = summarise(record)
            summed = time.perf_counter()
            files = write_files(summary, record)
            end = time.perf_counter()
            size = files[0].stat().st_size / 1e6
            print(
                f"{summary.progress.runs:5d} runs, {len(summary.parts[0].arms):3d} arms: summary "
                f"{summed - start:.1f} s, "
                f"{len(files)} files {end - summed:.1f} s; page {size:.2f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
