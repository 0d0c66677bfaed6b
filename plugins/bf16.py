"""Mixed precision in bfloat16."""

from ablab.plugin import Edit, plugin


@plugin(source="Kalamkar et al. 2019, arXiv:1905.12322")
class Bf16:
    """Mixed precision: matrix products in bfloat16, weights and optimizer in float32."""

    def edit(self) -> Edit:
        """Return an edit that sets the precision."""
        return {"recipe.precision": "bf16"}
