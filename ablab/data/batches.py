"""Batches of sequences. Sequence n of seed s is a function of (s, n) alone, independent of the arm,
the workers and the devices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ablab.data.checked_tokens import CheckedTokens
from ablab.targets import IGNORED


class Sequences(Dataset[Tensor]):
    """Training sequences of one seed, as token ids `(context + 1,)`: inputs are all but the last
    token, and targets all but the first.

    The corpus is cut into windows of `context` tokens, which each epoch visits in a different
    order.
    """

    def __init__(self, tokens: np.ndarray | CheckedTokens, context: int, seed: int) -> None:
        self.tokens = tokens
        self.context = context
        self.seed = seed
        self.windows = (len(tokens) - 1) // context
        if self.windows < 1:
            raise ValueError(
                f"the training split has {len(tokens)} tokens, fewer than one sequence of "
                f"{context + 1}"
            )
        self._order = lru_cache(maxsize=2)(self._permutation)

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.windows)

    def __getitem__(self, n: int) -> Tensor:
        """Return sequence n, `(context + 1,)`."""
        return self.__getitems__([n])[0]

    def __getitems__(self, numbers: Sequence[int]) -> Tensor:
        """Return sequences by number, `(len(numbers), context + 1)`."""
        windows = np.array([self._order(n // self.windows)[n % self.windows] for n in numbers])
        index = windows[:, None] * self.context + np.arange(self.context + 1)[None, :]
        return torch.from_numpy(self.tokens[index].astype(np.int64))


@dataclass(frozen=True)
class Batches:
    """The sizes of the batches of a run in sequences, as successive `runs` of (size, steps). Each
    batch takes the next sequences.
    """

    runs: tuple[tuple[int, int], ...]

    @property
    def steps(self) -> int:
        """Total number of batches."""
        return sum(steps for _, steps in self.runs)

    @property
    def largest(self) -> int:
        """Number of sequences in the largest batch."""
        return max(size for size, _ in self.runs)

    @property
    def sequences(self) -> int:
        """Total number of sequences."""
        return self.seen(self.steps)

    def seen(self, step: int) -> int:
        """Return the number of sequences in the first `step` batches. Batches beyond the last have
        the size of the last.
        """
        total = 0
        for size, steps in self.runs[:-1]:
            if step <= steps:
                return total + size * step
            total += size * steps
            step -= steps
        return total + self.runs[-1][0] * step

    def share(self, step: int) -> float:
        """Return the share of all sequences that is in the first `step` batches."""
        return self.seen(step) / self.sequences

    def step_at(self, share: float) -> int:
        """Return the step whose end is closest to `share` of all sequences."""
        remaining = share * self.sequences
        before = 0
        for size, steps in self.runs:
            if remaining <= size * steps:
                return before + round(remaining / size)
            remaining -= size * steps
            before += steps
        return self.steps


class Sized(Protocol):
    """Anything that defines the sizes of batches."""

    def seen(self, step: int, /) -> int:
        """Return the number of sequences in the first `step` batches."""
        ...


class StepSampler(Sampler[list[int]]):
    """An infinite sampler of the sequence numbers of each batch from step `start` on.

    It is stateless, so that a resumed run continues with the same sequences. `share` maps a batch
    size to the slice of this process; if that is empty, the first sequence is returned.
    """

    def __init__(
        self, batches: Sized, start: int = 0, share: Callable[[int], slice] = slice
    ) -> None:
        self.batches = batches
        self.start = start
        self.share = share

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.start):
            batch = range(self.batches.seen(step), self.batches.seen(step + 1))
            yield list(batch[self.share(len(batch))] or batch[:1])


def scoring_batches(
    tokens: np.ndarray, context: int, batch: int, end_of_text: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield inputs, targets and the window of each target, `(at most batch, context)`, that score
    every token of every window once.

    A window follows an end-of-text token. These are inputs only, so that exactly the bytes of the
    windows are scored. Targets of padding are -100, in window 0.
    """
    stream = torch.from_numpy(tokens.astype(np.int64))
    inputs = stream[:-1]
    targets = stream[1:].clone()
    windows = (stream == end_of_text).cumsum(0)[1:] - 1
    targets[targets == end_of_text] = IGNORED
    padding = -len(inputs) % context
    inputs = torch.nn.functional.pad(inputs, (0, padding), value=end_of_text).view(-1, context)
    targets = torch.nn.functional.pad(targets, (0, padding), value=IGNORED).view(-1, context)
    windows = torch.nn.functional.pad(windows, (0, padding)).view(-1, context)
    yield from zip(inputs.split(batch), targets.split(batch), windows.split(batch), strict=True)
