"""Learned positions (GPT-1, GPT-2, GPT-3)."""

from ablab.plugin import Edit, LearnedPosition, plugin


@plugin(source="Radford et al. 2018 (GPT-1), section 4.1")
class Learned:
    """Learned positions: a vector for each position, added to the embedding; the default of the
    base decoder.
    """

    def edit(self) -> Edit:
        """Return an edit that sets the position."""
        return {"position": LearnedPosition()}
