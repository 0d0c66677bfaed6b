"""Decoding with multi-head, grouped, multi-query and banded attention, beside transformers:

    python -m benchmarks.decode [--json FILE]

Prints tokens a second of one sequence, decoded greedily (medians of rounds in which every model
takes its turn, 32 tokens each), and of the cache the bytes that are held and those that are
allocated for them, behind contexts of several lengths. Transformers' `generate` decodes LLaMA at
the same shape, with its dynamic cache. What is timed are the tokens after the first, so that
reading the context does not count. Before it, both must decode the same tokens from equal weights.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ablab.arch.composition.registry import load_registry
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.decoder.generate import generate
from ablab.arch.modules.context import KVCache
from ablab.hf.exchange import to_transformers
from benchmarks.peers import Shape, build
from benchmarks.side_by_side import environment, in_words, print_table, shuffled, write_json

TOKENS = 32
ARMS = {
    "multi-head": "llama",
    "grouped (2)": "llama + gqa(groups=2)",
    "multi-query": "llama + mqa",
    "band of 64": "llama + sliding_window(band=64)",
}
PEER = "transformers LLaMA"


@dataclass(frozen=True)
class CacheBytes:
    """The bytes of a cache that are held, and those that are allocated for them."""

    held: int
    allocated: int


def shape_of(contexts: Sequence[int]) -> Shape:
    """Return the shape that all models have."""
    return Shape(4, 256, 8, max(contexts) + TOKENS + 1, 1024, 1)


def own_speed(model: Decoder, context: int) -> float:
    """Return the tokens a second behind `context` tokens."""
    tokens = generate(model, [0] * context, temperature=0.0, seed=0)
    next(tokens)
    start = perf_counter()
    for _ in range(TOKENS):
        next(tokens)
    return TOKENS / (perf_counter() - start)


@torch.inference_mode()
def own_cache(model: Decoder, context: int) -> CacheBytes:
    """Return the size of the cache at the end."""
    memory = KVCache()
    model(torch.zeros(1, context, dtype=torch.long), memory)
    for _ in range(TOKENS):
        model(torch.zeros(1, 1, dtype=torch.long), memory)
    return CacheBytes(memory.used_bytes(), memory.allocated_bytes())


def generated(model: Any, prompt: Sequence[int], note: Callable[[], None]) -> Any:
    """Decode greedily by transformers' `generate`, calling `note` at each token."""

    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        note()
        return scores

    tokens = torch.tensor([list(prompt)])
    return model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        min_new_tokens=TOKENS + 1,
        max_new_tokens=TOKENS + 1,
        do_sample=False,
        logits_processor=[processor],
        return_dict_in_generate=True,
    )


def their_speed(model: Any, context: int) -> float:
    """Return the same of transformers, between the first token and the last."""
    times: list[float] = []
    generated(model, [0] * context, lambda: times.append(perf_counter()))
    assert len(times) == TOKENS + 1
    return TOKENS / (times[-1] - times[0])


def their_cache(model: Any, context: int) -> CacheBytes:
    """Return the size of transformers' cache at the end."""
    layers = generated(model, [0] * context, lambda: None).past_key_values.layers
    size = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    return CacheBytes(size, size)


def require_equal(shape: Shape) -> None:
    """Raise ValueError unless the lab and transformers decode the same tokens."""
    own = build("llama", shape).eval().double()
    theirs = to_transformers(own, load_registry(())).double()
    prompt = list(range(1, 9))
    tokens = list(islice(generate(own, prompt, temperature=0.0, seed=0), TOKENS + 1))
    other = generated(theirs, prompt, lambda: None).sequences[0, len(prompt) :].tolist()
    if tokens != other:
        raise ValueError(f"different tokens: {tokens} and {other}")


@dataclass(frozen=True)
class Contestant:
    """A model's speed in tokens a second, and its cache, as functions of the context."""

    speed: Callable[[int], float]
    cache: Callable[[int], CacheBytes]


def contestants(shape: Shape) -> dict[str, Contestant]:
    """Return the models by name, that of transformers where it is installed."""
    found: dict[str, Contestant] = {}
    for name, expression in ARMS.items():
        model = build(expression, shape).eval()
        found[name] = Contestant(partial(own_speed, model), partial(own_cache, model))
    if find_spec("transformers"):
        require_equal(shape)
        peer = to_transformers(build("llama", shape).eval(), load_registry(()))
        found[PEER] = Contestant(partial(their_speed, peer), partial(their_cache, peer))
    return found


def print_context(models: dict[str, Contestant], context: int, rounds: int) -> dict[str, Any]:
    """Print the figures behind a context, and return them."""
    speeds = [
        {name: models[name].speed(context) for name in names}
        for names in shuffled(list(models), rounds)
    ]
    figures: dict[str, Any] = {}
    rows = []
    for name, model in models.items():
        speed = median(each[name] for each in speeds)
        cache = model.cache(context)
        ratio = median(each[name] / each[PEER] for each in speeds) if PEER in models else None
        figures[name] = {"tokens_per_second": speed, "cache": cache, "ratio": ratio}
        shown = "" if ratio is None else f"{ratio:.2f}"
        sizes = (f"{cache.held / 1024:,.0f}", f"{cache.allocated / 1024:,.0f}")
        rows.append((name, f"{speed:,.0f}", shown, *sizes))
    print(f"\nbehind {context} tokens")
    print_table(("", "tokens/s", f"× {PEER}", "cache KiB", "allocated KiB"), rows)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.decode")
    parser.add_argument("--context", type=int, action="append", help="default: 256, 1024, 4096")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    contexts = options.context or [256, 1024, 4096]
    shape = shape_of(contexts)
    results: dict[str, Any] = {"environment": environment("transformers"), "shape": shape}
    print(in_words(results["environment"]))
    print(f"{shape}, float32")
    models = contestants(shape)
    results["contexts"] = {
        context: print_context(models, context, options.rounds) for context in contexts
    }
    write_json(options.json, results)


if __name__ == "__main__":
    main()
