"""What each engine costs: `python -m benchmarks.engines [--runs 5000] [--workers 8]`.

Trains stand-in runs through each engine, with durable records and leases: many short ones, whose
rate is that of dispatching, and 200 of two seconds on two workers, whose wall time is compared with
the local engine's. Each measurement is a process of its own. SLURM is a cluster of one node that is
started for it, where that is possible. Last it times what the driver does twice a second: reading
the progress of all runs that are under way.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ablab.records.run_record import Record
from ablab.sealed import write_sealed
from benchmarks.engine_runs import ENGINES
from tests.slurm import slurm_cluster, why_not

_SHORT_SECONDS = 0.0
_LONG_RUNS = 200
_LONG_SECONDS = 2.0
_LONG_WORKERS = 2
_UNDER_WAY = 1_000


def measure(engine: str, runs: int, seconds: float, workers: int) -> dict[str, Any]:
    """Return what a process of its own measured."""
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        arguments = [engine, Path(folder) / "home", runs, seconds, workers]
        cluster = slurm_cluster(Path(folder) / "slurm") if engine == "slurm" else nullcontext()
        with cluster:
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.engine_runs", *map(str, arguments)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
    return json.loads(ended.stdout.splitlines()[-1])


def progress_seconds() -> float:
    """Return how long reading the progress of as many runs takes: the median of five times."""
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        records = [Record(Path(folder), f"{number:05}") for number in range(_UNDER_WAY)]
        for record in records:
            record.folder.mkdir(parents=True)
            progress = {"share": 0.5, "train/loss": 3.0, "cost/tokens_per_second": 1e4}
            write_sealed(record.folder / "progress.json", progress, sync=False)
        taken = []
        for _ in range(5):
            start = time.perf_counter()
            for record in records:
                assert record.progress
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Measure the engines in turn, and print a line of JSON for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    options = parser.parse_args()
    if why_not() and "slurm" in options.engines:
        print(f"without SLURM: {why_not()}")
        options.engines.remove("slurm")
    for engine in options.engines:
        print(
            json.dumps(measure(engine, options.runs, _SHORT_SECONDS, options.workers)), flush=True
        )
    walls: dict[str, float] = {}
    for engine in options.engines:
        found = measure(engine, _LONG_RUNS, _LONG_SECONDS, _LONG_WORKERS)
        walls[engine] = found["wall_seconds"]
        print(json.dumps(found), flush=True)
    for engine, wall in walls.items():
        print(f"{engine}: {wall / walls[options.engines[0]]:.3f} of {options.engines[0]}")
    print(f"progress of {_UNDER_WAY} runs: {1e3 * progress_seconds():.0f} ms")


if __name__ == "__main__":
    main()
