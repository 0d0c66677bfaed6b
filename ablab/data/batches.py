"""Batches: sequence n of seed s is a pure function of (s, n), whatever the arm, the workers or the
devices.
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

from ablab.targets import IGNORED


class Sequences(Dataset[Tensor]):
    """Training sequences of one seed: token ids (context + 1,), inputs and their next tokens
    overlapping by all but one.

    The corpus is cut into windows of `context` tokens; every epoch takes them in an order of its
    own.
    """

    def __init__(self, tokens: np.ndarray, context: int, seed: int) -> None:
        self.tokens, self.context, self.seed = tokens, context, seed
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
        """Sequence n."""
        return self.__getitems__([n])[0]

    def __getitems__(self, numbers: Sequence[int]) -> Tensor:
        """Sequences by number, (len(numbers), context + 1)."""
        windows = np.array([self._order(n // self.windows)[n % self.windows] for n in numbers])
        index = windows[:, None] * self.context + np.arange(self.context + 1)[None, :]
        return torch.from_numpy(self.tokens[index].astype(np.int64))


@dataclass(frozen=True)
class Batches:
    """The sizes of a run's batches in sequences: `runs` of (size, steps), one after another. A
    batch takes the next sequences.
    """

    runs: tuple[tuple[int, int], ...]

    @property
    def steps(self) -> int:
        """Batches in all."""
        return sum(steps for _, steps in self.runs)

    @property
    def largest(self) -> int:
        """Sequences in the largest batch."""
        return max(size for size, _ in self.runs)

    @property
    def sequences(self) -> int:
        """Sequences in all."""
        return self.seen(self.steps)

    def seen(self, step: int) -> int:
        """Sequences in the first `step` batches; batches beyond the last are as large as the
        last.
        """
        total = 0
        for size, steps in self.runs[:-1]:
            if step <= steps:
                return total + size * step
            total, step = total + size * steps, step - steps
        return total + self.runs[-1][0] * step

    def share(self, step: int) -> float:
        """The share of all sequences that the first `step` batches are."""
        return self.seen(step) / self.sequences

    def step_at(self, share: float) -> int:
        """The step that ends nearest to `share` of all sequences."""
        wanted, before = share * self.sequences, 0
        for size, steps in self.runs:
            if wanted <= size * steps:
                return before + round(wanted / size)
            wanted, before = wanted - size * steps, before + steps
        return self.steps


class Sized(Protocol):
    """Whatever says how large batches are."""

    def seen(self, step: int, /) -> int:
        """Sequences in the first `step` batches."""
        ...


class StepSampler(Sampler[list[int]]):
    """The sequence numbers of each step's batch, from step `start` on, without end: stateless, so
    that a resumed run goes on with the sequences it would have had. `share`: which of a batch of n
    are this process's; the first where none is.
    """

    def __init__(
        self, batches: Sized, start: int = 0, share: Callable[[int], slice] = slice
    ) -> None:
        self.batches, self.start, self.share = batches, start, share

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.start):
            batch = range(self.batches.seen(step), self.batches.seen(step + 1))
            yield list(batch[self.share(len(batch))] or batch[:1])


def scoring_batches(
    tokens: np.ndarray, context: int, batch: int, end_of_text: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (≤ batch, context) that score every token of every document once.

    End-of-text tokens are seen and never scored: what is scored is the documents' bytes. Padding is
    -100.
    """
    stream = torch.from_numpy(tokens.astype(np.int64))
    inputs, targets = stream[:-1], stream[1:].clone()
    targets[targets == end_of_text] = IGNORED
    short = -len(inputs) % context
    inputs = torch.nn.functional.pad(inputs, (0, short), value=end_of_text).view(-1, context)
    targets = torch.nn.functional.pad(targets, (0, short), value=IGNORED).view(-1, context)
    yield from zip(inputs.split(batch), targets.split(batch), strict=True)
