"""The parallel block (GPT-J, PaLM)."""

from ablab.plugin import Edit, plugin


@plugin(
    source=(
        "Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 2; Wang & Komatsuzaki 2021 (GPT-J)"
    )
)
class ParallelBlock:
    """Parallel block: x + mixer(norm(x)) + mlp(norm(x)) with one shared norm, or with post-norm
    norm(x + mixer(x) + mlp(x)).
    """

    def edit(self) -> Edit:
        """Return an edit that sets the wiring."""
        return {"wiring": (("mixer", "mlp"),)}
