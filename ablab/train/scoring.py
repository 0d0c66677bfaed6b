"""Score a split: every token of every document once, in nats per token and bits per byte."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import log

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from ablab.arch.decoder.decoder import Decoder
from ablab.data.batches import scoring_batches
from ablab.data.store import TokenStore
from ablab.targets import IGNORED
from ablab.train.parallel import ParallelContext


@dataclass(frozen=True)
class Score:
    """`loss` is in nats per scored token. `bpb` is in bits per byte of text, which is comparable
    across tokenizers.
    """

    loss: float
    bpb: float


@torch.no_grad()
def score(
    model: Decoder, store: TokenStore, split: str, precision: str, parallel: ParallelContext
) -> Score:
    """Score `split` in windows of the context, divided among the data ranks. The mode of the model
    is restored.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    context = model.arch.dims.context
    batch = max(1, 8192 // context)
    nll = torch.zeros((), dtype=torch.float64, device=device)
    tokens = torch.zeros((), dtype=torch.long, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for inputs, targets in _local_batches(
            scoring_batches(store.tokens(split), context, batch, store.end_of_text), parallel
        ):
            result = model.loss(inputs.to(device), targets.to(device))
            nll += result.nll.double()
            tokens += result.tokens
    model.train(training)
    if isinstance(model, FSDPModule):
        # The root's weights stay gathered after a forward pass until a backward pass.
        model.reshard()
    total = parallel.sum(nll).item()
    return Score(
        loss=total / parallel.sum(tokens).item(), bpb=total / log(2) / store.splits[split].bytes
    )


def _local_batches(
    batches: Iterable[tuple[Tensor, Tensor]], parallel: ParallelContext
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's batches. All processes get the same number; the last ones may have no
    targets.
    """
    for turn in _batched(batches, parallel.layout.data):
        inputs, targets = turn[parallel.data_rank if parallel.data_rank < len(turn) else 0]
        yield (
            inputs,
            targets if parallel.data_rank < len(turn) else torch.full_like(targets, IGNORED),
        )


def _batched(
    items: Iterable[tuple[Tensor, Tensor]], size: int
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    iterator = iter(items)
    while True:
        chunk = list(islice(iterator, size))
        if not chunk:
            return
        yield chunk
