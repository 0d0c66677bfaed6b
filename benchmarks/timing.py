"""How often two equal arms are called different in time, beside a load that comes and goes.

    python -m benchmarks.timing --comparisons 200

Each comparison times one architecture against itself as `ablab run` does at the end of a study: in
turns, in random order, over rounds. Meanwhile processes that keep a core busy start and stop at
random. An interval of 95 % should exclude 1 in about 5 % of the comparisons.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import torch

from ablab.analysis.timings import usable
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.recipe import Recipe
from ablab.data.spec import StdlibData
from ablab.data.store import TokenStore, prepare
from ablab.execute.timing.rounds import TimingRequest, run_rounds
from ablab.records.timings import TimingLog, TimingRound
from ablab.stats.costs import Ratio, log_table, measured_ratio
from ablab.train.costs.arm_timer import ArmTimer
from ablab.train.costs.other_load import OtherLoad

COSTS = ("seconds_per_token", "decode_tokens_per_second")
DIMS = {"layers": 2, "width": 64, "heads": 2, "context": 128}


def busy_now_and_then(seed: int, stop: Event) -> None:
    """Keep a core busy for 0.05 to 4 seconds, pause as long, and so on."""
    drawn = random.Random(seed)
    while not stop.is_set():
        end = time.monotonic() + drawn.uniform(0.05, 4.0) * drawn.random()
        while time.monotonic() < end:
            pass
        time.sleep(drawn.uniform(0.05, 4.0) * drawn.random())


@contextmanager
def changing_load(processes: int) -> Iterator[None]:
    """Put a load on the machine that comes and goes."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    started = [context.Process(target=busy_now_and_then, args=(n, stop)) for n in range(processes)]
    for process in started:
        process.start()
    try:
        yield
    finally:
        stop.set()
        for process in started:
            process.join()


def timer_of(store: TokenStore) -> ArmTimer:
    """Return a timer of GPT-2 at a small size."""
    arch = architecture("gpt2", load_registry(()), {**DIMS, "vocab": store.vocab})
    return ArmTimer(Composite(arch=arch, recipe=Recipe()), store, batch=2, seed=1, compile=False)


def comparison(timers: dict[str, ArmTimer], rounds: int, folder: Path) -> Sequence[TimingRound]:
    """Return the rounds of one comparison that a report uses."""
    log = TimingLog(folder / f"{time.monotonic_ns()}.timings")
    runs = {"a0": "a", "b0": "b"}
    request = TimingRequest({}, runs, log.path, folder, rounds, 0.05, patience_seconds=0.0)
    run_rounds(request, timers, OtherLoad(), log.path.name, lambda: False)
    return usable(log.rounds())


def ratio_of(rounds: Sequence[TimingRound], cost: str) -> Ratio:
    """Return the second arm's cost divided by the first's."""
    cells = {
        (arm, number): getattr(times, cost)
        for number, timed in enumerate(rounds)
        for arm, times in timed.times.items()
    }
    return measured_ratio(log_table(cells), {"b": 1.0, "a": -1.0})


def main() -> None:
    """Make the comparisons and print how many are called different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--load", type=int, default=2, help="processes that come and go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    different = dict.fromkeys(COSTS, 0)
    above_one = dict.fromkeys(COSTS, 0)  # of them, those whose ratio is above 1
    widths: dict[str, list[float]] = {name: [] for name in COSTS}
    loads: list[float] = []
    with tempfile.TemporaryDirectory() as name, changing_load(options.load):
        folder = Path(name)
        store = prepare(StdlibData(holdout=0.001), folder / "tokens")
        timers = {arm: timer_of(store) for arm in "ab"}
        for number in range(options.comparisons):
            rounds = comparison(timers, options.rounds, folder)
            loads += [timed.other_load for timed in rounds if timed.other_load is not None]
            for cost in COSTS:
                ratio = ratio_of(rounds, cost)
                different[cost] += ratio.differs
                above_one[cost] += ratio.differs and (ratio.value or 0.0) > 1.0
                if ratio.low is not None and ratio.high is not None:
                    widths[cost].append(ratio.high / ratio.low - 1)
            if (number + 1) % 20 == 0:
                print(f"{number + 1} comparisons: different {different}", flush=True)
    print(f"other load: {sum(loads) / len(loads):.2f} cores on average, at most {max(loads):.2f}")
    for cost in COSTS:
        middle = sorted(widths[cost])[len(widths[cost]) // 2]
        print(
            f"{cost}: {different[cost]} of {options.comparisons} called different, "
            f"{above_one[cost]} of them above 1; "
            f"median width of the interval {100 * middle:.1f} %"
        )


if __name__ == "__main__":
    main()
