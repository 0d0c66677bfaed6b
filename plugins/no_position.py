"""No positions at all."""

from ablab.plugin import Edit, NoPosition, plugin


@plugin(
    name="no_position",
    source="Haviv et al. 2022, arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466",
)
class NoPositions:
    """No positions: the causal mask alone tells the order."""

    def edit(self) -> Edit:
        """Writes the position."""
        return {"position": NoPosition()}
