"""Studies that look like real ones: planned by the lab, with curves, bowls, noise and costs from
known functions.
"""

import math
import random
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from ablab.data.batches import Batches
from ablab.execute.session import Request, Session, planned
from ablab.execute.timing.stage import first_runs
from ablab.plan.plan import StudyPlan
from ablab.records.home import Home
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.records.study_record import StudyRecord
from ablab.records.timings import TimingRound
from ablab.tracking.trackers import Trackers
from ablab.train.result import ArmTime
from tests.standin import Silent, StandIn, noise_seed, result

# What each plugin is worth, and what two of them are worth more together.
WORTH = {
    "rope": -0.055,
    "swiglu": -0.02,
    "rmsnorm": 0.0008,
    "no_bias": -0.001,
    "untied_embeddings": 0.018,
    "mqa": 0.009,
}
TOGETHER = {("rope", "swiglu"): -0.012, ("swiglu", "mqa"): 0.006}
BEST_RATE = {"rope": 1.4, "rmsnorm": 1.2, "swiglu": 1.1}
NOISE = 0.004


class Learner(StandIn):
    """A stand-in whose runs leave whole curves."""

    def submit(self, spec: RunSpec) -> "Future[AttemptOutcome]":
        self.trained.append(spec)
        leave(Record(self.root, spec.key), spec)
        future: Future[AttemptOutcome] = Future()
        future.set_result(AttemptOutcome(RunState.FINISHED, busy_seconds=1.0))
        return future


def bits(spec: RunSpec) -> float:
    """The run's final bits per byte."""
    plugins = dict(spec.plugins)
    value = 2.31 + sum(worth for name, worth in WORTH.items() if name in plugins)
    value += sum(worth for pair, worth in TOGETHER.items() if all(name in plugins for name in pair))
    best = 2e-3 * math.prod(factor for name, factor in BEST_RATE.items() if name in plugins)
    return (
        value
        + 0.03 * math.log2(spec.recipe["lr"] / best) ** 2
        + random.Random(noise_seed(spec)).gauss(0, NOISE)
        + 0.003 * (spec.seed % 5)
    )


def slowness(spec: RunSpec) -> float:
    """The time per FLOP, as a multiple of GPT-2's."""
    return (
        1
        + 0.12 * ("rope" in dict(spec.plugins))
        - 0.05 * ("rmsnorm" in dict(spec.plugins))
        - 0.07 * ("mqa" in dict(spec.plugins))
    )


def leave_rounds(record: StudyRecord, plan: StudyPlan) -> None:
    """Twelve rounds in which the arms were timed."""
    runs = first_runs(plan)
    for number in range(1, 13):
        noise = random.Random(number)
        times = {}
        for key, spec in runs.items():
            slow = slowness(spec) * (1 + 0.02 * noise.random())
            times[key] = ArmTime(spec.flops_per_token / 4e10 * slow, 900 / slow)
        digests = {key: key for key in runs}
        record.timings.append(TimingRound("cpu, 1 thread(s)", 2, 0.0, digests, times))


def leave(record: Record, spec: RunSpec) -> None:
    """The record of a run that is through: a hundred rows of training loss, three validations, a
    result.
    """
    end, noise = bits(spec), random.Random(f"{noise_seed(spec)} curve")
    assert isinstance(spec.batches, Batches)
    steps = spec.batches.steps
    tokens = spec.batches.sequences * (spec.dims["context"] or 1)
    rows = []
    for share in (i / 100 for i in range(1, 101)):
        loss = 0.72 * (
            end + 2.2 * math.exp(-12 * share) + 0.5 * math.exp(-4 * share)
        ) * 1.9 + noise.gauss(0, 0.01)
        rows.append(
            {
                "step": round(share * steps),
                "time": 0.0,
                "train/loss": loss,
                "cost/tokens": round(share * tokens),
            }
        )
    rows += [
        {"step": round(share * steps), "time": 0.0, "val/bpb": end + 1.5 * math.exp(-5 * share)}
        for share in (0.25, 0.5, 0.75)
    ]
    record.folder.mkdir(parents=True, exist_ok=True)
    lines = sorted(rows, key=lambda row: row["step"])
    (record.folder / "metrics.jsonl").write_text(
        "".join(f"{row}\n".replace("'", '"') for row in lines)
    )
    slow = slowness(spec)
    seconds = tokens * spec.flops_per_token / 4e10 * slow * (1 + 0.02 * noise.random())
    cost = {
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory_bytes": 4.1e8 * slow,
    }
    cost |= {"decode_tokens_per_second": 900 / slow, "kv_cache_bytes": 294_912.0}
    outcome = result(end, **cost)
    metrics = {"test/bpb": end + 0.012, "train/loss": rows[99]["train/loss"]}
    outcome = replace(
        outcome,
        steps=steps,
        versions={"torch": "2.13.0", "lightning": "2.6.6"},
        metrics={**outcome.metrics, **metrics},
    )
    record.finish(outcome)


def carry_out(file: Path, home: Home) -> StudyRecord:
    """Carries the study out with runs that end at once; no tracker."""
    asked = planned(Request(file, None, (), ()), home.root)
    session = Session(asked, home, Silent())
    session.trackers = Trackers([])
    session.prepare = lambda: None
    session.run(lambda context: Learner(home.root, lambda spec: 0.0))
    leave_rounds(session.record, asked.plan)
    return session.record


TUNED = """\
question: Which of LLaMA's changes to GPT-2 pay for themselves at equal training compute?
from: gpt2
to: llama
design: {kind: fractional_factorial, resolution: 4}
model: {layers: 3, width: 96, heads: 3, context: 128}
data: {source: stdlib, tokenizer: {kind: byte}}
budget: {flops: 8.0e+11}
seeds: 5
tune: {lr: [5.0e-4, 1.0e-3, 2.0e-3, 4.0e-3, 8.0e-3], trials: 5}
recipe: {batch_tokens: 512, warmup: 0.1}
"""
