"""The engine itself at scale, with a stand-in trainer: `python -m benchmarks.engine [--runs
10000]`.

Plans, prints and resumes a study of many runs and one of many arms; drives runs that end at once,
listed, tuned and of many arms; reports on a thousand finished ones. What is left is the lab's own
cost: nothing is trained, and writing the stand-in's results does not count. Commands are timed
whole, from their start to their end: the median of five.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from tests.standin import Silent, StandIn, result

STUDY = """\
question: How long does the engine itself take?
from: gpt2
{design}
model: {{layers: 2, width: 32, heads: 2, context: 64}}
data: {{source: stdlib, tokenizer: {{kind: byte}}, holdout: 0.001}}
budget: {{steps: 4}}
seeds: {seeds}
recipe: {{batch_tokens: 512}}
{more}
"""
ARMS = 16
FRACTION = "to: llama\ndesign: {kind: fractional_factorial, resolution: 4}"
CHANGES = (
    "rope",
    "rmsnorm",
    "swiglu",
    "no_bias",
    "qk_norm",
    "parallel_block",
    "untied_embeddings",
    "mqa",
)
TRIALS, CONFIRMING = 6, 3
TUNE = f"tune: {{lr: {{low: 1.0e-4, high: 1.0e-2}}, trials: {TRIALS}}}"
REPEATS = 5


def response(spec: RunSpec) -> float:
    """Any value will do."""
    return 3.0 - 0.1 * ("rope" in dict(spec.plugins)) + 0.01 * (int(spec.key[:4], 16) / 65536 - 0.5)


class Timed(StandIn):
    """Knows the seconds that it took itself."""

    seconds = 0.0

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        """Runs it, timed."""
        start = time.perf_counter()
        future = super().submit(spec)
        self.seconds += time.perf_counter() - start
        return future


def command(folder: Path, *arguments: str, times: int = REPEATS) -> float:
    """Seconds that the real command takes, from its start to its end: the median."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "ablab.cli.app", *arguments],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def study(folder: Path, runs: int) -> Path:
    """A study of about so many runs in sixteen arms."""
    return _written(folder / f"many-{runs}.yaml", FRACTION, runs // ARMS)


def tuned(folder: Path) -> Path:
    """A study that tunes each of sixteen arms before its confirming runs."""
    return _written(folder / "tuned.yaml", FRACTION, CONFIRMING, TUNE)


def wide(folder: Path, changes: int, seeds: int) -> Path:
    """A study of every combination of so many changes."""
    listed = ", ".join(CHANGES[:changes])
    return _written(
        folder / f"wide-{changes}.yaml", f"design: {{kind: factorial, changes: [{listed}]}}", seeds
    )


def _written(file: Path, design: str, seeds: int, more: str = "") -> Path:
    file.write_text(STUDY.format(design=design, seeds=seeds, more=more))
    return file


def session_of(file: Path, root: Path) -> Session:
    """A session on a study in a home, planned."""
    home = make_home(root)
    return Session(planned(Request(file, None, (), ()), home.root), home, Silent())


def drive(file: Path, root: Path) -> tuple[int, dict[str, float]]:
    """Drives a study whose runs end at once. How many there were, and seconds a run: of the driver,
    and until the views are in step too.
    """
    session = session_of(file, root)
    executor = Timed(root, response)
    session.prepare()
    expected = session.planned.plan.expected
    start = time.perf_counter()
    summary = session.run(lambda context: executor)
    driven = time.perf_counter() - start - executor.seconds
    session.close([], complete=True)
    closed = time.perf_counter() - start - executor.seconds
    assert summary.trained == expected.runs + expected.trials
    return summary.trained, {
        "driver": driven / summary.trained,
        "driver and views": closed / summary.trained,
    }


def finish_all(file: Path, root: Path) -> Path:
    """A home in which a study is finished."""
    session = session_of(file, root)
    for spec in session.planned.plan.unique.values():
        record = Record(root, spec.key)
        record.create(spec)
        record.finish(result(response(spec)))
    session.write()
    return root


Figures = Iterator[tuple[str, float]]


def measure_plans(folder: Path, runs: int) -> Figures:
    """Planning: many runs and many arms, on a home that is not there, and resumed."""
    file = study(folder, runs)
    yield f"first plan of {runs} runs", command(folder, "plan", file.name)
    done = str(finish_all(file, folder / "done"))
    yield f"plan of {runs} finished runs", command(folder, "plan", file.name, "--home", done)
    yield f"status of {runs} runs", command(folder, "status", file.name, "--home", done)
    yield f"resuming {runs} finished runs, before anything is handed out", resume(file, Path(done))
    many = wide(folder, 8, 1)
    yield "first plan of 256 arms", command(folder, "plan", many.name)
    session_of(many, folder / "done").write()
    yield (
        "plan of 256 arms that were run before",
        command(folder, "plan", many.name, "--home", done),
    )


def measure_driver(folder: Path) -> Figures:
    """Driving: seconds a run."""
    listed = [("listed", study(folder, count)) for count in (160, 640)]
    for kind, file in [*listed, ("tuned", tuned(folder)), ("64 arms", wide(folder, 6, 3))]:
        runs, seconds = drive(file, folder / f"home-{file.stem}")
        for part, taken in seconds.items():
            yield f"{part}, a run ({kind}, {runs} runs)", taken


def measure(folder: Path, many: int, reported: int) -> Figures:
    """All figures, in seconds, as they come."""
    yield from measure_driver(folder)
    yield from measure_plans(folder, many)
    file = study(folder, reported)
    home = str(finish_all(file, folder / "reported"))
    yield (
        f"report --json on {reported} runs",
        command(folder, "report", file.name, "--json", "--home", home),
    )


def resume(file: Path, home: Path) -> float:
    """Seconds from nothing to a session that knows what is left, in a process that has imported all
    it needs.
    """
    start = time.perf_counter()
    session = session_of(file, home)
    session.reset()
    assert session.missing == 0
    return time.perf_counter() - start


def main() -> None:
    """Prints a line a figure, and one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--reported", type=int, default=1_000)
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds in measure(Path(folder), arguments.runs, arguments.reported):
            figures[name] = seconds
            shown = f"{1000 * seconds:10.1f} ms" if seconds < 0.1 else f"{seconds:10.2f} s"
            print(f"{name:60} {shown}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
