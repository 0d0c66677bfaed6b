"""Full precision."""

from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "IEEE 754-2019, binary32; what mixed precision (Micikevicius et al. 2018, "
        "arXiv:1710.03740) is held against"
    )
)
class Fp32:
    """Full precision: all computation in float32, on every device."""

    def edit(self) -> Edit:
        """Return an edit that sets the precision."""
        return {"recipe.precision": "fp32"}
