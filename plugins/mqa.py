"""Multi-query attention (PaLM)."""

from ablab.plugin import Edit, plugin


@plugin(source="Shazeer 2019, arXiv:1911.02150; Chowdhery et al. 2022 (PaLM), arXiv:2204.02311")
class Mqa:
    """Multi-query attention: one head of keys and values, shared by all query heads."""

    def edit(self) -> Edit:
        """Return an edit that sets the number of kv heads."""
        return {"mixer.kv_heads": 1}
