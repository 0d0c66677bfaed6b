"""No biases (PaLM, LLaMA)."""

from ablab.plugin import Edit, plugin


@plugin(source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 2")
class NoBias:
    """No biases in any layer, including the norms."""

    def edit(self) -> Edit:
        """Return an edit that sets the architecture's bias."""
        return {"bias": False}
