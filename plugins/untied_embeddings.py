"""Untied embeddings (LLaMA)."""

from ablab.plugin import Edit, UntiedHead, plugin


@plugin(source="Touvron et al. 2023 (LLaMA), arXiv:2302.13971")
class UntiedEmbeddings:
    """Untied embeddings: the output projection has a weight of its own in place of the embedding
    table.
    """

    def edit(self) -> Edit:
        """Writes the head."""
        return {"head": UntiedHead()}
