"""Decoding with multi-head, grouped and multi-query attention, side by side: `python
benchmarks/decode.py`.

Prints tokens a second (medians of interleaved rounds, 32 tokens, batch 8), and of the cache the
bytes a sequence that are held and those that are allocated for them, behind contexts of several
lengths.
"""

from statistics import median
from time import perf_counter
from typing import Any

import torch

import ablab
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.modules.context import KVCache

ROUNDS, BATCH, TOKENS, FLOAT32 = 5, 8, 32, 4
ARMS = {"multi-head": "llama", "grouped (2)": "llama + gqa(groups=2)", "multi-query": "llama + mqa"}
SIZES: dict[str, Any] = {
    "layers": 4,
    "width": 256,
    "heads": 8,
    "vocab": 1024,
    "context": 4096 + TOKENS,
}


@torch.no_grad()
def decode(model: Decoder, context: int) -> tuple[float, int, int]:
    """Tokens a second of a batch behind `context` tokens, and the bytes a sequence that the cache
    holds and takes at the end.
    """
    memory = KVCache()
    model(torch.zeros(BATCH, context, dtype=torch.long), memory)
    token = torch.zeros(BATCH, 1, dtype=torch.long)
    start = perf_counter()
    for _ in range(TOKENS):
        token = model(token, memory)[:, -1:].argmax(-1)
    seconds = perf_counter() - start
    values = FLOAT32 * memory.numel() // BATCH
    return BATCH * TOKENS / seconds, values, memory.allocated_bytes() // BATCH


def main() -> None:
    """Prints the table."""
    models = {name: ablab.build(expression, **SIZES).eval() for name, expression in ARMS.items()}
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), float32, batch "
        f"{BATCH}, {SIZES}"
    )
    print(f"{'context':>8} {'attention':<12} {'tokens/s':>9} {'cache KiB':>10} {'allocated':>10}")
    for context in (256, 1024, 4096):
        rounds = [
            {name: decode(model, context) for name, model in models.items()} for _ in range(ROUNDS)
        ]
        for name in models:
            speed, (_, held, taken) = median(one[name][0] for one in rounds), rounds[0][name]
            print(
                f"{context:>8} {name:<12} {speed:>9.0f} {held / 1024:>10.0f} {taken / 1024:>10.0f}"
            )


if __name__ == "__main__":
    main()
