"""The lab's whole run against its bare training step."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from ablab.arch.composition.compose import Composite
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches
from ablab.data.spec import StdlibData
from ablab.data.store import TokenStore, prepare
from ablab.train.costs.arm_timer import ArmTimer
from ablab.train.job import Job
from ablab.train.recorder import SILENT
from ablab.train.run import train
from benchmarks.peers import Shape
from benchmarks.side_by_side import print_table

ROUNDS = 3
_BARE_SECONDS = 5.0  # of timing the bare step before a run and after it, at most


@dataclass(frozen=True)
class WholeRun:
    """The seconds of a run, and the share of them that its bare steps would take, of all (`whole`)
    and of those without validation and the measurement of costs (`training`).
    """

    seconds: float
    training: float
    whole: float


def whole_runs(shape: Shape, steps: int, folder: Path) -> dict[str, WholeRun]:
    """Print, for GPT-2 and LLaMA, how much of a run's time its bare training steps would take.

    The run is that of `ablab run`, by Lightning's trainer in this process: it builds the model,
    trains, validates at a quarter, half and three quarters of its budget and at the end, measures
    memory and decoding and writes the weights.
    """
    store = prepare(StdlibData(holdout=0.01), folder / "tokens")
    runs = {arm: _whole_run(arm, shape, steps, store, folder) for arm in ("gpt2", "llama")}
    print(f"\nA run of {steps} steps, and the share of it that its bare steps would take: {shape}")
    print_table(
        ("", "s", "without validation and costs", "with them"),
        [
            (arm, f"{run.seconds:.1f}", f"{run.training:.3f}", f"{run.whole:.3f}")
            for arm, run in runs.items()
        ],
    )
    return runs


def _whole_run(arm: str, shape: Shape, steps: int, store: TokenStore, folder: Path) -> WholeRun:
    dims = {**shape.dims, "vocab": max(store.vocab, shape.vocab)}
    arch = architecture(arm, load_registry(()), dims)
    recipe = Recipe(batch_tokens=shape.batch * shape.context)
    flops = account(arch).flops_per_token.training
    timer = ArmTimer(Composite(arch=arch, recipe=recipe), store, shape.batch, seed=1, compile=False)
    rounds = []
    for number in range(ROUNDS):
        job = Job(
            arch,
            recipe,
            store,
            Batches(((shape.batch, steps),)),
            seed=number,
            flops_per_token=flops,
            folder=folder / f"{arm}{number}",
        )
        job.folder.mkdir()
        before = _bare_seconds(timer, steps)
        start = perf_counter()
        result = train(job, SILENT).result
        seconds = perf_counter() - start
        bare = (before + _bare_seconds(timer, steps)) / 2
        assert result is not None
        others = result.cost.validation_seconds + (result.cost.measuring_seconds or 0.0)
        expected = bare * steps * shape.batch * shape.context
        rounds.append(WholeRun(seconds, expected / (seconds - others), expected / seconds))
    return WholeRun(
        *(median(getattr(each, name) for each in rounds) for name in WholeRun.__annotations__)
    )


def _bare_seconds(timer: ArmTimer, steps: int) -> float:
    """Return the seconds of a bare step, per token."""
    seconds = timer.take_turn(min(_BARE_SECONDS, steps / 50)).seconds_per_token
    assert seconds is not None
    return seconds
