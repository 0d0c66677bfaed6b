"""The public plugin API: everything that a plugin may import. CONTRIBUTING.md has a tutorial.

A plugin is a class with typed options and a method `edit()`, which maps paths to new values:

    @plugin(source="Su et al. 2021, arXiv:2104.09864")
    class Rope:
        \"\"\"Rotary positions.\"\"\"
        base: float = 10_000.0

        def edit(self) -> Edit:
            return {"position": NoPosition(), "mixer.rotate": Rotary(self.base)}

An edit does not read other slots. What depends on them is computed when the model is built, in the
value's `build`, from its `BuildContext`.
"""

from ablab.arch.composition.compose import Edit
from ablab.arch.composition.declare import plugin
from ablab.arch.composition.family import Family, NamedRecipe
from ablab.arch.composition.transformers_form import Match, TransformersForm
from ablab.arch.data_choice import TokenizerChoice
from ablab.arch.modules.attend import Attend
from ablab.arch.modules.attention import (
    Attention,
    Banded,
    Causal,
    NoRotation,
    NoScoreBias,
    SelfAttention,
)
from ablab.arch.modules.context import ContextModule, ForwardContext, KVCache
from ablab.arch.modules.heads import TiedHead, UntiedHead
from ablab.arch.modules.layers import (
    FinalNorm,
    LayerNorm,
    LearnedPosition,
    NoFinal,
    NoLogitScale,
    NoNorm,
    NoPosition,
    Normal,
    PostNorm,
    RmsNorm,
    Unscaled,
)
from ablab.arch.modules.linear import Embedding, Linear, fused, split_linears
from ablab.arch.modules.mlp import GatedMlp, Gelu, PlainMlp, ff_width
from ablab.arch.modules.ranks import Ranks
from ablab.arch.recipe import (
    AdamW,
    Cosine,
    LossTerm,
    OptimizerSlot,
    RampSlot,
    RecipePreset,
    ScheduleSlot,
)
from ablab.arch.roles import Kind, Parallel, Role
from ablab.arch.slots import Activation, InitStd, LogitScale, Pattern, ResidualInitScale, Scores
from ablab.arch.value import (
    Architecture,
    Branch,
    BuildContext,
    ByLayer,
    Dims,
    Final,
    Head,
    Norm,
    Position,
    ResidualJoin,
    Rotate,
    ScoreBias,
)
from ablab.errors import UserError

__all__ = [
    "Activation",
    "AdamW",
    "Architecture",
    "Attend",
    "Attention",
    "Banded",
    "Branch",
    "BuildContext",
    "ByLayer",
    "Causal",
    "ContextModule",
    "Cosine",
    "Dims",
    "Edit",
    "Embedding",
    "Family",
    "Final",
    "FinalNorm",
    "ForwardContext",
    "GatedMlp",
    "Gelu",
    "Head",
    "InitStd",
    "KVCache",
    "Kind",
    "LayerNorm",
    "LearnedPosition",
    "Linear",
    "LogitScale",
    "LossTerm",
    "Match",
    "NamedRecipe",
    "NoFinal",
    "NoLogitScale",
    "NoNorm",
    "NoPosition",
    "NoRotation",
    "NoScoreBias",
    "Norm",
    "Normal",
    "OptimizerSlot",
    "Parallel",
    "Pattern",
    "PlainMlp",
    "Position",
    "PostNorm",
    "RampSlot",
    "Ranks",
    "RecipePreset",
    "ResidualInitScale",
    "ResidualJoin",
    "RmsNorm",
    "Role",
    "Rotate",
    "ScheduleSlot",
    "ScoreBias",
    "Scores",
    "SelfAttention",
    "TiedHead",
    "TokenizerChoice",
    "TransformersForm",
    "Unscaled",
    "UntiedHead",
    "UserError",
    "ff_width",
    "fused",
    "plugin",
    "split_linears",
]
