"""Untied embeddings (LLaMA)."""

from ablab.plugin import Edit, UntiedHead, plugin


@plugin(source="Touvron et al. 2023 (LLaMA), arXiv:2302.13971")
class UntiedEmbeddings:
    """Untied embeddings: the output projection has a separate weight."""

    def edit(self) -> Edit:
        """Return an edit that sets the head."""
        return {"head": UntiedHead()}
