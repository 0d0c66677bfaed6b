"""Token-by-token generation with a decoding cache."""

from collections.abc import Iterator, Sequence

import torch

from ablab.arch.decoder.decoder import Decoder
from ablab.arch.modules.context import KVCache


@torch.inference_mode()
def generate(
    model: Decoder,
    prompt: Sequence[int],
    temperature: float,
    seed: int,
    never: Sequence[int] = (),
) -> Iterator[int]:
    """Yield the tokens that follow `prompt` (token ids, at least one) until the context is full.

    Each token is sampled from softmax(logits / `temperature`) by a generator seeded with `seed`; at
    temperature 0 the most likely token is chosen. Token ids in `never` are never chosen.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    memory = KVCache()
    logits = model(torch.tensor([list(prompt)]), memory)[0, -1]
    while True:
        if never:
            logits[list(never)] = -torch.inf
        if temperature:
            chances = (logits.double() / temperature).softmax(-1)
            token = int(torch.multinomial(chances, 1, generator=generator))
        else:
            token = int(logits.argmax())
        yield token
        if memory.length == model.arch.dims.context:
            return
        logits = model(torch.tensor([[token]]), memory)[0, -1]
