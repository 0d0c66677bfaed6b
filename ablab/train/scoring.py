"""Score a split: every token of every window once, in nats per token and bits per byte."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import log

import numpy as np
import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from ablab.arch.decoder.decoder import Decoder
from ablab.data.batches import scoring_batches
from ablab.data.store import TokenStore
from ablab.targets import IGNORED
from ablab.train.parallel import ParallelContext
from ablab.train.window_scores import WindowScores

_TOKENS = 8192  # scored at once
_TOKENS_ON_CPU = 2048  # the activations of more do not fit the cache: a quarter slower
_Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Score:
    """`loss` is in nats per scored token. `bpb` is in bits per byte of text, which is comparable
    across tokenizers. `windows` are the scores by window; None for a split without windows.
    """

    loss: float
    bpb: float
    windows: WindowScores | None


@torch.no_grad()
def score(
    model: Decoder, store: TokenStore, split: str, precision: str, parallel: ParallelContext
) -> Score:
    """Score `split` in sequences of the context, divided among the data ranks. The mode of the
    model is restored.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    context = model.arch.dims.context
    batch = max(1, (_TOKENS_ON_CPU if device.type == "cpu" else _TOKENS) // context)
    tokens = store.tokens(split)
    lengths = _lengths(tokens, store.end_of_text)
    sums = torch.zeros(len(lengths), dtype=torch.float64, device=device)  # nats by window
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for inputs, targets, windows in _local_batches(
            scoring_batches(tokens, context, batch, store.end_of_text), parallel
        ):
            result = model.loss(inputs.to(device), targets.to(device))
            sums.index_add_(0, windows.flatten().to(device), result.nll.double())
    model.train(training)
    if isinstance(model, FSDPModule):
        # The root's weights stay gathered after a forward pass until a backward pass.
        model.reshard()
    nll = parallel.sum(sums).cpu().numpy()
    size = store.splits[split]
    windows = None
    if size.windows:
        document, sizes = np.array(size.windows).T
        windows = WindowScores(nll, document, sizes, lengths)
    total = float(nll.sum())
    return Score(total / int(lengths.sum()), total / log(2) / size.bytes, windows)


def _lengths(tokens: np.ndarray, end_of_text: int) -> np.ndarray:
    """Return the number of tokens of each window, which follows an end-of-text token."""
    starts = np.flatnonzero(tokens == end_of_text)
    return np.diff(np.append(starts, len(tokens))) - 1


def _local_batches(batches: Iterable[_Batch], parallel: ParallelContext) -> Iterator[_Batch]:
    """Yield this process's batches. All processes get the same number; the last ones may have no
    targets.
    """
    for turn in _batched(batches, parallel.layout.data):
        inputs, targets, windows = turn[parallel.data_rank if parallel.data_rank < len(turn) else 0]
        if parallel.data_rank >= len(turn):
            targets = torch.full_like(targets, IGNORED)
        yield inputs, targets, windows


def _batched(items: Iterable[_Batch], size: int) -> Iterator[list[_Batch]]:
    iterator = iter(items)
    while True:
        chunk = list(islice(iterator, size))
        if not chunk:
            return
        yield chunk
