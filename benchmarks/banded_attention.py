"""Banded against dense attention, forward + backward, side by side:
`python -m benchmarks.banded_attention`.

Prints the median milliseconds of interleaved rounds for sequences of 512 to 8,192 tokens (batch 1,
4 heads of 32, band 128) and banded's share of dense's time.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

from ablab.arch.modules.attention import Banded, Causal
from ablab.arch.slots import Scores

ROUNDS, HEADS, HEAD_DIM, BAND = 7, 4, 32, 128


def milliseconds(attend: Callable[..., torch.Tensor], time: int) -> float:
    """One forward and backward pass over `time` tokens."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v = (
        torch.randn(1, HEADS, time, HEAD_DIM, device=device, requires_grad=True) for _ in range(3)
    )
    _wait()
    start = perf_counter()
    attend(q, k, v).sum().backward()
    _wait()
    return 1000 * (perf_counter() - start)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """Prints the curve."""
    scores = Scores(HEADS, HEADS)
    patterns = {"dense": Causal(), "banded": Banded(BAND), "strided": Banded(BAND, strided=True)}
    modules = {name: pattern.build(scores) for name, pattern in patterns.items()}
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), band {BAND}, "
        f"median of {ROUNDS} rounds, ms"
    )
    print(f"{'tokens':>7} {'dense':>9} {'banded':>9} {'strided':>9} {'banded / dense':>15}")
    for time in (512, 1024, 2048, 4096, 8192):
        for module in modules.values():
            milliseconds(module, time)
        rounds = [
            {name: milliseconds(module, time) for name, module in modules.items()}
            for _ in range(ROUNDS)
        ]
        dense, banded, strided = (median(one[name] for one in rounds) for name in modules)
        print(f"{time:>7} {dense:>9.1f} {banded:>9.1f} {strided:>9.1f} {banded / dense:>15.2f}")


if __name__ == "__main__":
    main()
