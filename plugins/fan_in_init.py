"""Fan-in initialisation (PaLM)."""

from dataclasses import dataclass
from math import sqrt

from ablab.plugin import Edit, InitStd, Normal, plugin


@dataclass(frozen=True)
class FanIn(InitStd):
    """1/sqrt(inputs)."""

    def std(self, shape: tuple[int, ...]) -> float:
        """For a weight of `shape` (out, in)."""
        return 1 / sqrt(shape[1])


@plugin(source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5")
class FanInInit:
    """Fan-in init: matrices start at N(0, 1/n_in), embeddings at N(0, 1), the second figure being a
    variance.
    """

    def edit(self) -> Edit:
        """Writes the init of matrices and embeddings."""
        return {"init.matrix": FanIn(), "init.embedding": Normal(1.0)}
