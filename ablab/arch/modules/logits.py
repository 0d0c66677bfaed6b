"""The output projection: hidden states to logits, with an optional scale, soft cap and padding
mask.
"""

from collections.abc import Callable
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor

from ablab.arch.modules.ranks import ALONE
from ablab.arch.value import Architecture


class Projection:
    """Map hidden states `(..., width)` and the output weight `(table_vocab, width)` to logits
    `(..., table_vocab)`.

    Logits of padding entries are −∞. Ranks that share the vocabulary each hold a part of the weight
    and of the logits. This is a plain callable and no module: torch's FLOP counter hooks modules,
    which fails where the loss computes its gradient in chunks.
    """

    def __init__(self, arch: Architecture) -> None:
        self.scale = arch.logits.scale.factor(arch.dims.width)
        self.ranks = ALONE
        self._after: list[Callable[[Tensor], Tensor]] = []
        if arch.logits.softcap is not None:
            self._after.append(_softcap(arch.logits.softcap))
        if arch.table_vocab > arch.dims.vocab:
            self._after.append(self._without_padding)
        self._vocab = arch.dims.vocab

    def __call__(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """Compute the logits."""
        # The stream is far narrower than the logits: scaling it costs less, and gives the same.
        scaled = hidden if self.scale == 1.0 else hidden * self.scale
        logits = F.linear(scaled, weight)
        for change in self._after:
            logits = change(logits)
        return logits

    def _without_padding(self, logits: Tensor) -> Tensor:
        first = self.ranks.rank * logits.shape[-1]
        rows = torch.arange(first, first + logits.shape[-1], device=logits.device)
        return logits.masked_fill(rows >= self._vocab, -inf)


def _softcap(cap: float) -> Callable[[Tensor], Tensor]:
    def bound(logits: Tensor) -> Tensor:
        wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
        return cap * torch.tanh(wide / cap)

    return bound
