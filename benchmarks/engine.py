"""The engine itself at scale, with a stand-in trainer: `python -m benchmarks.engine [--runs 10000]`.

Plans, prints and resumes a study of many runs; drives runs that end at once; reports on a thousand finished ones. What is
left is the lab's own cost: nothing is trained.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ablab.study.home import make_home
from ablab.study.plan import RunSpec
from ablab.study.records import Record
from ablab.study.session import Request, Session, Share, planned
from tests.standin import Silent, StandIn, result

STUDY = """\
question: How long does the engine itself take?
from: gpt2
to: llama
design: {{kind: fractional_factorial, resolution: 4}}
model: {{layers: 2, width: 32, heads: 2, context: 64}}
data: {{source: stdlib, tokenizer: {{kind: byte}}, holdout: 0.001}}
budget: {{steps: 4}}
seeds: {seeds}
recipe: {{batch_tokens: 512}}
"""
ARMS = 16


def response(spec: RunSpec) -> float:
    """Any value will do."""
    return 3.0 - 0.1 * ("rope" in dict(spec.plugins)) + 0.01 * (int(spec.key[:4], 16) / 65536 - 0.5)


def command(folder: Path, *arguments: str) -> float:
    """Seconds that the real command takes, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ablab.cli.app", *arguments], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def study(folder: Path, runs: int) -> Path:
    """A study of about so many runs."""
    file = folder / "many.yaml"
    file.write_text(STUDY.format(seeds=runs // ARMS))
    return file


def drive(folder: Path, runs: int) -> dict[str, float]:
    """Drives `runs` runs that end at once. Seconds a run: of the driver, and until the views are in step too."""
    home = make_home(folder / f"home-{runs}")
    session = Session(planned(Request(study(folder, runs), None, (), ()), home.root), home, Silent())
    executor = StandIn(home.root, response)
    session.prepare()
    start = time.perf_counter()
    tally = session.run(lambda setting: executor, Share(1))
    driven = time.perf_counter()
    session.close([], complete=True)
    closed = time.perf_counter()
    assert tally.trained == runs // ARMS * ARMS
    return {"driver": (driven - start) / tally.trained, "views": (closed - start) / tally.trained}


def finish_all(folder: Path, runs: int) -> Path:
    """A home in which a study of so many runs is finished."""
    home = make_home(folder / "done")
    session = Session(planned(Request(study(folder, runs), None, (), ()), home.root), home, Silent())
    for spec in session.planned.plan.unique.values():
        record = Record(home.root, spec.key)
        record.create(spec)
        record.finish(result(response(spec)))
    session.write()
    return home.root


def measure(folder: Path, many: int, reported: int) -> dict[str, float]:
    """All figures, in seconds."""
    study(folder, many)
    figures = {f"plan of {many} runs (whole command)": command(folder, "plan", "many.yaml")}
    for count in (400, 1600):
        seconds = drive(folder, count)
        figures[f"driver, a run ({count} runs)"] = seconds["driver"]
        figures[f"driver and views, a run ({count} runs)"] = seconds["views"]
    home = finish_all(folder, reported)
    figures[f"report --json on {reported} runs (whole command)"] = command(
        folder, "report", "many.yaml", "--json", "--home", str(home)
    )
    home = finish_all(folder, many)
    figures[f"status of {many} runs (whole command)"] = command(folder, "status", "many.yaml", "--home", str(home))
    figures[f"plan of {many} finished runs"] = command(folder, "plan", "many.yaml", "--home", str(home))
    figures[f"resuming {many} finished runs, before anything is handed out"] = resume(folder, home)
    return figures


def resume(folder: Path, home: Path) -> float:
    """Seconds from nothing to a session that knows what is left, in a process that has imported all it needs."""
    start = time.perf_counter()
    place = make_home(home)
    session = Session(planned(Request(folder / "many.yaml", None, (), ()), place.root), place, Silent())
    session.want_again()
    assert session.missing == 0
    return time.perf_counter() - start


def main() -> None:
    """Prints a line a figure, and one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--reported", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.runs, arguments.reported)
    for name, seconds in figures.items():
        print(f"{name:60} {1000 * seconds:10.1f} ms" if seconds < 0.1 else f"{name:60} {seconds:10.2f} s")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
