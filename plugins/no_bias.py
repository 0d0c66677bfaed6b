"""No biases (PaLM, LLaMA)."""

from ablab.plugin import Edit, plugin


@plugin(source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 2")
class NoBias:
    """No biases anywhere, norms included."""

    def edit(self) -> Edit:
        """Writes the architecture's bias."""
        return {"bias": False}
