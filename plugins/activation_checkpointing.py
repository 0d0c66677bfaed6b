"""Activation checkpointing (Megatron, LLaMA)."""

from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "Chen et al. 2016, arXiv:1604.06174; after every block as in Megatron-LM (Shoeybi et al. "
        "2019, arXiv:1909.08053)"
    )
)
class ActivationCheckpointing:
    """Activation checkpointing: the backward pass recomputes each block instead of storing its
    activations.

    The results do not change; memory decreases and time increases. The reported FLOPs exclude the
    recomputation.
    """

    def edit(self) -> Edit:
        """Return an edit that sets the recipe's checkpointing."""
        return {"recipe.checkpointing": True}
