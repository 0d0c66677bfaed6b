"""ALiBi: attention with linear biases."""

from dataclasses import dataclass
from math import floor, log2

import torch
from torch import Tensor, nn

from ablab.plugin import BuildContext, Edit, NoPosition, ScoreBias, plugin


def slopes(heads: int) -> list[float]:
    """Return 2^(−8i/n) for head i of n = 1 … heads. If `heads` is not a power of two, return the
    slopes for the next lower power, then every other slope for the next higher one.
    """
    lower = 2 ** floor(log2(heads))
    powers = [2 ** (-8 * i / lower) for i in range(1, lower + 1)]
    return (
        powers + [2 ** (-8 * i / (2 * lower)) for i in range(1, 2 * lower + 1, 2)][: heads - lower]
    )


class _Linear(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", torch.tensor(slopes(heads)), persistent=False)
        self.slopes: Tensor

    def forward(self, distance: Tensor) -> Tensor:
        return -self.slopes.view(-1, *[1] * distance.ndim) * distance


@dataclass(frozen=True)
class LinearBias(ScoreBias):
    """−slope × distance, with one slope per head."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the bias with its slopes, `(heads,)`."""
        return _Linear(site.dims.heads)


@plugin(source="Press et al. 2022, arXiv:2108.12409, section 3")
class Alibi:
    """ALiBi: scores decrease linearly with the distance, with a fixed slope for each head; no
    learned table.
    """

    def edit(self) -> Edit:
        """Return an edit that sets the position (none) and the score bias."""
        return {"position": NoPosition(), "mixer.score_bias": LinearBias()}
