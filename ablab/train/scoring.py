"""Scoring a split: every token of every document once, in nats, and per byte."""

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
    """`loss`: nats per token scored. `bpb`: bits per byte of the documents' text, which tokenizers
    share.
    """

    loss: float
    bpb: float


@torch.no_grad()
def score(
    model: Decoder, store: TokenStore, split: str, precision: str, team: ParallelContext
) -> Score:
    """Scores `split` in windows of the context, shared out among the data ranks; the model is left
    in the mode it was in.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    context = model.arch.dims.context
    batch = max(1, 8192 // context)
    nll = torch.zeros((), dtype=torch.float64, device=device)
    tokens = torch.zeros((), dtype=torch.long, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for inputs, targets in _own(
            scoring_batches(store.tokens(split), context, batch, store.end_of_text), team
        ):
            result = model.loss(inputs.to(device), targets.to(device))
            nll += result.nll.double()
            tokens += result.tokens
    model.train(training)
    if isinstance(
        model, FSDPModule
    ):  # the root's weights stay whole after a forward pass until a backward one
        model.reshard()
    total = team.sum(nll).item()
    return Score(
        loss=total / team.sum(tokens).item(), bpb=total / log(2) / store.splits[split].bytes
    )


def _own(
    batches: Iterable[tuple[Tensor, Tensor]], team: ParallelContext
) -> Iterator[tuple[Tensor, Tensor]]:
    """The process's own batches, as many as every other's: the last ones may score nothing."""
    for turn in _batched(batches, team.layout.data):
        inputs, targets = turn[team.data_rank if team.data_rank < len(turn) else 0]
        yield inputs, targets if team.data_rank < len(turn) else torch.full_like(targets, IGNORED)


def _batched(
    items: Iterable[tuple[Tensor, Tensor]], size: int
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    iterator = iter(items)
    while turn := list(islice(iterator, size)):
        yield turn
