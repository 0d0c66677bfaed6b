"""Tied embeddings (GPT-1, PaLM)."""

from ablab.plugin import Edit, TiedHead, plugin


@plugin(source="Press & Wolf 2017, arXiv:1608.05859")
class TiedEmbeddings:
    """Tied embeddings: the output projection is the embedding table, as in the base decoder."""

    def edit(self) -> Edit:
        """Return an edit that sets the head."""
        return {"head": TiedHead()}
