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

from ablab.arch.attention import Attention, Causal, NoRotation
from ablab.arch.compose import Edit
from ablab.arch.layers import (
    GatedMlp,
    Gelu,
    LayerNorm,
    LearnedPosition,
    Linear,
    NoFinal,
    NoPosition,
    Normal,
    PlainMlp,
    PostNorm,
    Table,
    TiedHead,
    Unscaled,
    ff_width,
    fused,
)
from ablab.arch.recipe import AdamW, Cosine, LossTerm, OptimizerSlot, RampSlot, RecipePreset, ScheduleSlot
from ablab.arch.registry import Family, plugin
from ablab.arch.roles import Kind, Parallel, Role
from ablab.arch.value import (
    Activation,
    Branch,
    ByLayer,
    Deviation,
    Dims,
    Final,
    Head,
    Join,
    Norm,
    Pattern,
    Position,
    Rotate,
    Scale,
    Site,
)
from ablab.errors import UserError

__all__ = [
    "Activation", "AdamW", "Attention", "Branch", "ByLayer", "Causal", "Cosine", "Deviation", "Dims", "Edit", "Family",
    "Final", "GatedMlp", "Gelu", "Head", "Join", "Kind", "LayerNorm", "LearnedPosition", "Linear", "LossTerm",
    "NoFinal", "NoPosition", "NoRotation", "Norm", "Normal", "OptimizerSlot", "Parallel", "Pattern", "PlainMlp",
    "Position", "PostNorm", "RampSlot", "RecipePreset", "Role", "Rotate", "Scale", "ScheduleSlot", "Site", "Table", "TiedHead",
    "Unscaled", "UserError", "ff_width", "fused", "plugin",
]  # fmt: skip
