"""One run on one process and on several, by each strategy: `python -m benchmarks.scaling`.

Strong scaling: every layout trains the same run, of the same global batch, with one thread a
process: on all GPUs where there are some, else on two processes of this machine's CPU. Prints the
tokens a second of training steps (medians of interleaved rounds, without the first steps) and the
efficiency: the speed-up over one process in the same round, by the number of processes. The runs
are the lab's own, in processes that it starts itself.

Then what tensor parallelism sums in a training step at Megatron's sizes, counted on the meta
device.
"""

import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.arch.counting.rank_account import COMMUNICATION_CONVENTION, rank_account
from ablab.execute.process_group import train_together
from ablab.execute.session import Request, Session, planned
from ablab.execute.worker_context import WorkerContext
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.spec.hardware import Hardware, cores
from ablab.train.parallel import ParallelLayout
from tests.standin import Silent

STUDY = """\
question: How does one run scale over processes?
arms: {{megatron: megatron}}
model: {{{model}}}
data: {{source: text, files: ["ablab/*/*.py"], tokenizer: {{kind: byte}}, holdout_bytes: 1000}}
budget: {{steps: {steps}}}
seeds: 1
recipe: {{batch_tokens: {batch_tokens}}}
validate_at: []
checkpoint_seconds: 3600
"""
ON_CPU = {
    "model": "layers: 4, width: 256, heads: 4, context: 128",
    "steps": 8,
    "batch_tokens": 8 * 128,
}
ON_GPUS = {
    "model": "layers: 24, width: 1024, heads: 16, context: 1024",
    "steps": 40,
    "batch_tokens": 64 * 1024,
}
ROUNDS = 3

# Shoeybi et al. 2019, arXiv:1909.08053, table 1 and section 5.1: ranks by size, and 8 sequences a
# model-parallel group.
MEGATRON = {"1.2B": 1, "2.5B": 2, "4.2B": 4, "8.3B": 8}
SEQUENCES = 8
PAPER = (
    "The paper: 76% of linear scaling over 512 GPUs (8-way tensor, 64-way data parallel; V100), "
    "against one GPU that sustains "
    "39 TFLOP/s, 30% of its peak: weak scaling, 8 sequences for each 8-way group."
)


def layouts(gpus: int) -> list[ParallelLayout]:
    """One process, and as many as there are GPUs (two without any) by each strategy."""
    count = gpus or min(2, cores())
    several = [
        ParallelLayout("ddp", count),
        ParallelLayout("fsdp", count),
        ParallelLayout("tensor", 1, count),
    ]
    return [ParallelLayout(), *(several if count > 1 else [])]


def prepared(folder: Path, gpus: int) -> RunSpec:
    """The run that all layouts train, its tokens in the folder."""
    (folder / "scaling.yaml").write_text(STUDY.format(**(ON_GPUS if gpus else ON_CPU)))
    home = make_home(folder)
    session = Session(
        planned(Request(folder / "scaling.yaml", None, (), ()), home.root), home, Silent()
    )
    session.prepare()
    (spec,) = session.planned.plan.runs
    Record(folder, spec.key).create(spec)
    return spec


def tokens_per_second(folder: Path, spec: RunSpec, layout: ParallelLayout) -> float:
    """Trains the run anew; the speed of the steps after the first quarter, in which memory and
    connections are set up.
    """
    record = Record(folder, spec.key)
    lease = record.lease()
    lease.acquire()
    with lease.keep_alive():
        train_together(spec, WorkerContext(folder, layout=layout), lease, lambda: False)
    rows = [row for row in record.metrics.rows() if "cost/tokens_per_second" in row]
    tokens, seconds = zip(
        *((row["cost/tokens"], row["cost/tokens"] / row["cost/tokens_per_second"]) for row in rows),
        strict=True,
    )
    first = len(rows) // 4
    return (tokens[-1] - tokens[first]) / (seconds[-1] - seconds[first])


def print_scaling(folder: Path, gpus: int) -> None:
    """Speed and efficiency by layout."""
    spec = prepared(folder, gpus)
    compared = layouts(gpus)
    rounds = [
        [tokens_per_second(folder, spec, layout) for layout in compared] for _ in range(ROUNDS)
    ]
    settings = ON_GPUS if gpus else ON_CPU
    print(
        f"\nStrong scaling: megatron, {settings['model']}; {settings['batch_tokens']:,} "
        "tokens a step on all processes together"
    )
    print(
        f"{'layout':<18} {'tokens/s':>10} {'speed-up':>9} {'efficiency':>11}   of {ROUNDS} "
        "rounds: median (least to most)"
    )
    for i, layout in enumerate(compared):
        speeds, ratios = [each[i] for each in rounds], [each[i] / each[0] for each in rounds]
        shares = [ratio / layout.processes for ratio in ratios]
        spread = f"({min(speeds):,.0f} to {max(speeds):,.0f})"
        print(
            f"{layout!s:<18} {median(speeds):>10,.0f} {median(ratios):>9.2f} "
            f"{median(shares):>11.0%}   {spread}"
        )


def print_communication() -> None:
    """What Megatron's tensor-parallel ranks sum in a step, and compute meanwhile."""
    registry = load_registry()
    print(f"\nTensor parallelism, megatron, a training step of {SEQUENCES} sequences, each rank:")
    heads = (
        "size",
        "ranks",
        "parameters",
        "all-reduces",
        "GB summed",
        "GB sent",
        "TFLOP",
        "kFLOP/B sent",
    )
    print(_row(heads))
    for size, ranks in MEGATRON.items():
        arch = architecture(f"megatron:{size}", registry, {})
        rank, tokens = rank_account(arch, ranks), SEQUENCES * arch.dims.context
        flops = account(arch).flops_per_token.training * tokens / ranks
        sent = rank.wire_bytes_per_token * tokens
        each = f"{flops / sent / 1e3:.1f}" if sent else "–"
        summed = f"{(rank.bytes_per_token * tokens + rank.weight_bytes) / 1e9:.2f}"
        cells = (
            size,
            ranks,
            f"{rank.parameters / 1e9:.3f}G",
            rank.all_reduces,
            summed,
            f"{sent / 1e9:.2f}",
            f"{flops / 1e12:.1f}",
        )
        print(_row((*cells, each)))
    print(f"({COMMUNICATION_CONVENTION})\n{PAPER}")


def _row(cells: Sequence[object]) -> str:
    return " ".join(f"{cell:>12}" for cell in cells)


def main() -> None:
    """Prints both tables."""
    gpus = len(Hardware().gpus())
    on = (
        f"{gpus} × {torch.cuda.get_device_name()}"
        if gpus
        else f"{cores()} cores of {platform.processor() or platform.machine()}"
    )
    load = os.getloadavg()[0]
    print(
        f"{on}, torch {torch.__version__}, 1 thread a process; load average {load:.1f} "
        "before it began"
    )
    with tempfile.TemporaryDirectory() as folder:
        print_scaling(Path(folder), gpus)
    print_communication()


if __name__ == "__main__":
    main()
