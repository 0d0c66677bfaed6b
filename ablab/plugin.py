"""The public plugin API: all that a plugin may import. See CONTRIBUTING.md for the steps.

A plugin is a class with typed options and `edit()`, which maps paths to new values:

    @plugin(source="Su et al. 2021, arXiv:2104.09864")
    class Rope:
        \"\"\"Rotary positions.\"\"\"
        base: float = 10_000.0

        def edit(self) -> Edit:
            return {"position": NoPosition(), "mixer.rotate": Rotary(self.base)}

Edits write and never read: whatever depends on another slot is worked out in the value's `build`, from its `Site`.
"""

from ablab.arch.composition.compose import Edit
from ablab.arch.composition.registry import Family, plugin
from ablab.arch.composition.transformers_form import Form, Match
from ablab.arch.data_choice import TokenizerChoice
from ablab.arch.modules.attend import Attend
from ablab.arch.modules.attention import Attention, Banded, Causal, NoRotation, NoScoreBias, SelfAttention
from ablab.arch.modules.context import Flow, Memory
from ablab.arch.modules.heads import TiedHead, UntiedHead
from ablab.arch.modules.layers import (
    FinalNorm,
    GatedMlp,
    Gelu,
    LayerNorm,
    LearnedPosition,
    NoFinal,
    NoLogitScale,
    NoNorm,
    NoPosition,
    Normal,
    PlainMlp,
    PostNorm,
    RmsNorm,
    Unscaled,
    ff_width,
)
from ablab.arch.modules.linear import Linear, Table, fused, split_linears
from ablab.arch.modules.ranks import Ranks
from ablab.arch.recipe import AdamW, Cosine, LossTerm, OptimizerSlot, RampSlot, RecipePreset, ScheduleSlot
from ablab.arch.roles import Kind, Parallel, Role
from ablab.arch.value import (
    Activation,
    Architecture,
    Branch,
    ByLayer,
    Deviation,
    Dims,
    Final,
    Head,
    Join,
    LogitScale,
    Norm,
    Pattern,
    Position,
    Rotate,
    Scale,
    ScoreBias,
    Scores,
    Site,
)
from ablab.errors import UserError

__all__ = [
    "Activation", "AdamW", "Architecture", "Attend", "Attention", "Banded", "Branch", "ByLayer", "Causal", "Cosine",
    "Deviation", "Dims", "Edit", "Family", "Final", "FinalNorm", "Flow", "Form", "GatedMlp", "Gelu", "Head", "Join",
    "Kind", "LayerNorm", "LearnedPosition", "Linear", "LogitScale", "LossTerm", "Match", "Memory", "NoFinal",
    "NoLogitScale", "NoNorm", "NoPosition", "NoRotation", "NoScoreBias", "Norm", "Normal", "OptimizerSlot",
    "Parallel", "Pattern", "PlainMlp", "Position", "PostNorm", "RampSlot", "Ranks", "RecipePreset", "RmsNorm", "Role",
    "Rotate", "Scale", "ScheduleSlot", "ScoreBias", "Scores", "SelfAttention", "Site", "Table", "TiedHead",
    "TokenizerChoice", "Unscaled", "UntiedHead", "UserError", "ff_width", "fused", "plugin", "split_linears",
]  # fmt: skip
