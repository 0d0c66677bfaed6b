"""A recurrent mixer: a decaying average of what came before, in place of attention."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.plugin import (
    Branch,
    BuildContext,
    ContextModule,
    Edit,
    ForwardContext,
    Kind,
    Linear,
    Parallel,
    Role,
    plugin,
)


class _DecayMixer(ContextModule):
    def __init__(self, site: BuildContext) -> None:
        super().__init__()
        width = site.dims.width
        bias = site.arch.bias
        self.value = Linear((width, width), Parallel.COLUMN, bias)
        self.gate = Linear((width, width), Parallel.COLUMN, bias)
        self.out = Linear((width, width), Parallel.ROW, bias, writes_stream=True)
        self.decay = nn.Parameter(torch.empty(width))
        self.roles = {"decay": Role(Kind.GAIN)}

    def forward(self, x: Tensor, flow: ForwardContext | None = None) -> Tensor:
        """Map x `(batch, time, width)` to the same shape: h[t] = r · h[t−1] + (1 − r) ·
        value(x[t]), gated.
        """
        time = x.shape[1]
        rate = self.decay.sigmoid()
        state = (1 - rate) * self.value(x)
        reach = 1
        while reach < time:  # sums over 1, 2, 4, … steps back
            state = state + rate**reach * F.pad(state, (0, 0, reach, 0))[:, :time]
            reach *= 2
        if flow is not None and flow.memory is not None:
            if "state" in flow.memory.tensors:
                steps = torch.arange(1, time + 1, device=x.device).unsqueeze(1)
                state = state + rate**steps * flow.memory.tensors["state"].unsqueeze(1)
            flow.memory.tensors["state"] = state[:, -1]
        return self.out(state * self.gate(x).sigmoid())

    def cache_values(self, time: int) -> int:
        """Return the size of the state, which does not depend on `time`."""
        return self.decay.numel()


@dataclass(frozen=True)
class Decay(Branch):
    """A decaying average with one rate per channel."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the mixer."""
        return _DecayMixer(site)


@plugin(source="Bradbury et al. 2017, arXiv:1611.01576 (the idea, simplified)")
class DecayMixer:
    """A recurrent mixer: a gated, decaying average of the past in place of attention."""

    def edit(self) -> Edit:
        """Replace the mixer."""
        return {"mixer": Decay()}
