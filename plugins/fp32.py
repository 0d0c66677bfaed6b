"""Full precision."""

from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "IEEE 754-2019, binary32; what mixed precision (Micikevicius et al. 2018, "
        "arXiv:1710.03740) is held against"
    )
)
class Fp32:
    """Full precision: everything in float32, whatever the device does well."""

    def edit(self) -> Edit:
        """Writes the precision."""
        return {"recipe.precision": "fp32"}
