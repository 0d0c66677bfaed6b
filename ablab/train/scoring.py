"""Scoring a split: every token of every document once, in nats, and per byte."""

from dataclasses import dataclass
from math import log

import torch

from ablab.arch.decoder import Decoder
from ablab.data.batches import scoring_batches
from ablab.data.store import TokenStore


@dataclass(frozen=True)
class Score:
    """`loss`: nats a token scored. `bpb`: bits per byte of the documents' text, which tokenizers share."""

    loss: float
    bpb: float


@torch.no_grad()
def score(model: Decoder, store: TokenStore, split: str, precision: str) -> Score:
    """Scores `split` in windows of the context; the model is left in the mode it was in."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    context = model.arch.dims.context
    batch = max(1, 8192 // context)
    nll = torch.zeros((), dtype=torch.float64, device=device)
    tokens = torch.zeros((), dtype=torch.long, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for inputs, targets in scoring_batches(store.tokens(split), context, batch, store.end_of_text):
            result = model.loss(inputs.to(device), targets.to(device))
            nll += result.nll.double()
            tokens += result.tokens
    model.train(training)
    total = nll.item()
    return Score(loss=total / tokens.item(), bpb=total / log(2) / store.splits[split].bytes)
