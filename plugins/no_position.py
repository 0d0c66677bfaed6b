"""No positions at all."""

from ablab.plugin import Edit, NoPosition, plugin


@plugin(
    name="no_position",
    source="Haviv et al. 2022, arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466",
)
class NoPositions:
    """No positions: order is available only through the causal mask."""

    def edit(self) -> Edit:
        """Return an edit that sets the position."""
        return {"position": NoPosition()}
