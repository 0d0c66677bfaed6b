"""Activation checkpointing (Megatron, LLaMA)."""

from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "Chen et al. 2016, arXiv:1604.06174; after every block as in Megatron-LM (Shoeybi et al. "
        "2019, arXiv:1909.08053)"
    )
)
class ActivationCheckpointing:
    """Activation checkpointing: the backward pass computes each block again, so that its
    activations need not be kept.

    The numbers stay the same; memory falls, time grows. The FLOPs reported leave the recomputation
    out.
    """

    def edit(self) -> Edit:
        """Writes the recipe's checkpointing."""
        return {"recipe.checkpointing": True}
