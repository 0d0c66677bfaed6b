"""The base decoder: GPT-1's (Radford et al. 2018). Every plugin edits this value."""

from ablab.arch.modules.attention import Attention
from ablab.arch.modules.heads import TiedHead
from ablab.arch.modules.layers import (
    LayerNorm,
    LearnedPosition,
    NoFinal,
    NoLogitScale,
    Normal,
    PostNorm,
    Unscaled,
)
from ablab.arch.modules.mlp import PlainMlp
from ablab.arch.slots import Init, Logits
from ablab.arch.value import Architecture, Dims

BASE = Architecture(
    dims=Dims(),
    position=LearnedPosition(),
    wiring=(("mixer",), ("mlp",)),
    join=PostNorm(),
    norm=LayerNorm(),
    mixer=Attention(),
    mlp=PlainMlp(),
    final=NoFinal(),
    head=TiedHead(),
    init=Init(matrix=Normal(0.02), embedding=Normal(0.02), residual=Unscaled()),
    logits=Logits(scale=NoLogitScale()),
)
