"""The training step beside those of others, in one process:

    python -m benchmarks.train_step [--shape 3x96] [--compile] [--json FILE]

Every model trains on the same tokens with gradients clipped to a norm of 1 and torch's fused AdamW,
in float32. In each round every model takes its turn. A ratio is the median over the rounds of the
time of the reference divided by that of the model: above 1 is faster. The references are GPT-2
as nanoGPT has it, written plainly in torch, and LLaMA of transformers.

Then the lab's whole run by its real trainer against its bare step, and the memory of a step with a
large vocabulary. `pip install -e '.[bench]'` installs the other libraries; those that are missing
are left out.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ablab.arch.decoder.decoder import Decoder
from ablab.train.costs.memory import LiveBytes
from ablab.train.numerics import resolve_precision
from benchmarks.peers import Peer, Shape, installed, ours, plain
from benchmarks.side_by_side import Times, environment, in_turn, in_words, print_table, write_json
from benchmarks.train_run import whole_runs

SHAPES = {
    "tiny": Shape(1, 16, 2, 16, 300, 2),
    "3x96": Shape(3, 96, 4, 128, 1024, 4),
    "4x128": Shape(4, 128, 4, 128, 2048, 8),
    "6x384": Shape(6, 384, 6, 256, 2048, 8),
}
LARGE_VOCAB = Shape(4, 256, 4, 256, 50_257, 4)
PLAIN, PLAIN_TANH = "plain GPT-2", "plain GPT-2, GELU by tanh"
REFERENCES = (PLAIN, "transformers LLaMA")
# Their parameters must be as many as those of the lab's arm.
EQUAL = {
    "ablab gpt2": (PLAIN, PLAIN_TANH, "transformers GPT-2"),
    "ablab llama": ("transformers LLaMA", "litgpt LLaMA"),
}


def contestants(shape: Shape) -> dict[str, Peer]:
    """Return the models of a shape by name. Raises ValueError if equal ones differ in size."""
    peers = {
        PLAIN: plain(shape),
        PLAIN_TANH: plain(shape, tanh=True),
        "ablab gpt2": ours("gpt2", shape),
        "ablab llama": ours("llama", shape),
        **{name: make(shape) for name, make in installed().items()},
    }
    for arm, others in EQUAL.items():
        for other in (name for name in others if name in peers):
            if peers[other].parameters != peers[arm].parameters:
                sizes = f"{peers[other].parameters:,} and {peers[arm].parameters:,} parameters"
                raise ValueError(f"{other} and {arm} are no equals: {sizes}")
    return peers


class Step:
    """A training step of one model."""

    def __init__(self, peer: Peer, tokens: Tensor, precision: str = "fp32") -> None:
        self.peer = peer
        self.inputs = tokens[:, :-1]  # (batch, time)
        self.targets = tokens[:, 1:]  # (batch, time)
        self.parameters = list(peer.model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.bf16 = precision == "bf16"

    def __call__(self) -> Tensor:
        """Take a step and return its loss."""
        self.optimizer.zero_grad()
        with torch.autocast(self.inputs.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.peer.loss(self.inputs, self.targets)
        loss.backward()
        clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return loss


def compiled(peer: Peer) -> Peer:
    """Return the model compiled: the lab's block by block, as its trainer does, others whole."""
    if isinstance(peer.model, Decoder):
        for block in peer.model.blocks:
            block.compile()
        return peer
    return Peer(peer.model, torch.compile(peer.loss))


def steps_of(shape: Shape, *, compile: bool) -> dict[str, Step]:
    """Return the training steps of all models, and of the lab's in its default precision."""
    tokens = torch.randint(0, shape.vocab, (shape.batch, shape.context + 1))
    steps = {name: Step(peer, tokens) for name, peer in contestants(shape).items()}
    if compile:
        for name, peer in contestants(shape).items():
            steps[f"{name}, compiled"] = Step(compiled(peer), tokens)
    precision = resolve_precision("auto")
    if precision != "fp32":
        steps[f"ablab gpt2, {precision}"] = Step(ours("gpt2", shape), tokens, precision)
    return steps


def print_steps(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    """Time the steps of a shape, print them and return their figures."""
    steps = steps_of(shape, compile=options.compile)
    start = {name: step().item() for name, step in steps.items()}
    _require_fresh(start, shape.vocab)
    times = in_turn(steps, options.rounds, options.calls)
    references = [name for name in REFERENCES if name in times]
    rows = [
        (
            name,
            f"{step.peer.parameters:,}",
            f"{1e3 * times[name].seconds:.2f}",
            *(f"{times[name].faster_than(times[other]):.3f}" for other in references),
        )
        for name, step in steps.items()
    ]
    print(f"\n{shape}")
    print_table(("", "parameters", "ms", *(f"× {name}" for name in references)), rows)
    return {"shape": shape, "times": times, "ratios": _ratios(times, references)}


def _require_fresh(losses: dict[str, float], vocab: int) -> None:
    """Raise ValueError if a model does not start from about the loss of a uniform guess: then it
    does not compute what the others do.
    """
    uniform = math.log(vocab)
    for name, loss in losses.items():
        if not 0.7 * uniform < loss < 1.5 * uniform:
            raise ValueError(f"{name} starts from a loss of {loss:.3f}, not about {uniform:.3f}")


def _ratios(times: dict[str, Times], references: Sequence[str]) -> dict[str, dict[str, float]]:
    return {
        name: {other: each.faster_than(times[other]) for other in references}
        for name, each in times.items()
    }


def peak(peer: Peer, shape: Shape) -> int:
    """Return the largest number of bytes in tensors during a forward and a backward pass."""
    tokens = torch.randint(0, shape.vocab, (shape.batch, shape.context + 1))
    with LiveBytes([*peer.model.parameters(), *peer.model.buffers()]) as live:
        peer.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    return live.peak


def print_memory(shape: Shape) -> dict[str, int]:
    """Print the peak memory of a step of the lab's models beside transformers', and return it."""
    pairs = {"gpt2": "transformers GPT-2", "llama": "transformers LLaMA"}
    libraries = installed()
    peaks = {}
    rows = []
    for arm, other in pairs.items() if libraries.keys() >= set(pairs.values()) else ():
        own, theirs = peak(ours(arm, shape), shape), peak(libraries[other](shape), shape)
        peaks |= {f"ablab {arm}": own, other: theirs}
        rows.append((arm, f"{own / 2**20:,.0f}", f"{theirs / 2**20:,.0f}", f"{own / theirs:.0%}"))
    print(f"\nPeak memory of a step, MiB: {shape}")
    print_table(("", "ablab", "transformers", "share"), rows)
    return peaks


def shape(text: str) -> Shape:
    """Return the shape of that name, or of these six numbers. Raises ValueError otherwise."""
    return SHAPES[text] if text in SHAPES else Shape(*map(int, text.split(",")))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.train_step")
    parser.add_argument(
        "--shape",
        action="append",
        type=shape,
        help=f"{', '.join(SHAPES)}, or layers,width,heads,context,vocab,batch",
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=10, help="steps of a model in a round")
    parser.add_argument("--compile", action="store_true", help="compiled models beside eager ones")
    parser.add_argument("--run-steps", type=int, default=300, help="steps of a whole run; 0: none")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results: dict[str, Any] = {
        "environment": environment("lightning", "transformers", "litgpt", "x-transformers")
    }
    print(in_words(results["environment"]))
    shapes = options.shape or [SHAPES[name] for name in ("3x96", "4x128", "6x384")]
    results["steps"] = [print_steps(shape, options) for shape in shapes]
    results["memory"] = print_memory(SHAPES["tiny"] if shapes == [SHAPES["tiny"]] else LARGE_VOCAB)
    if options.run_steps:
        with tempfile.TemporaryDirectory() as folder:
            results["runs"] = whole_runs(shapes[0], options.run_steps, Path(folder))
    write_json(options.json, results)


if __name__ == "__main__":
    main()
