"""What the parts of the GPU benchmark have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.peers import Shape

# Dense bf16 matmuls in FLOP/s, by the makers' data sheets.
_PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L4": 121e12}


@dataclass(frozen=True)
class Setting:
    """The device, and whether all parts run at toy size (`dry`)."""

    device: str
    dry: bool

    @property
    def rounds(self) -> int:
        """Rounds of each comparison."""
        return 1 if self.dry else 5

    @property
    def calls(self) -> int:
        """Calls of each action in a round."""
        return 1 if self.dry else 10

    def shape(self, shape: Shape) -> Shape:
        """Return the shape, or a toy one."""
        return Shape(2, 32, 2, 32, 300, 2) if self.dry else shape


@dataclass(frozen=True)
class Result:
    """What a part found: a table, and a sentence that says what it means."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str


class Skipped(Exception):
    """A part cannot run here; the message says why."""


def peak_flops(name: str) -> float | None:
    """Return the dense bf16 FLOP/s of a GPU, or None if it is unknown."""
    return next((flops for part, flops in _PEAKS.items() if part in name), None)


class PeakMemory:
    """The bytes that are allocated on the GPU beyond those at the start, 0 on a CPU."""

    def __init__(self) -> None:
        self._before = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def read(self) -> int:
        """Return the peak since the start."""
        if not torch.cuda.is_available():
            return 0
        return torch.cuda.max_memory_allocated() - self._before
