"""Fan-in initialisation (PaLM)."""

from dataclasses import dataclass
from math import sqrt

from ablab.plugin import Edit, InitStd, Normal, plugin


@dataclass(frozen=True)
class FanIn(InitStd):
    """1/sqrt(inputs)."""

    def std(self, shape: tuple[int, ...]) -> float:
        """Return the standard deviation for a weight of shape `(out, in)`."""
        return 1 / sqrt(shape[1])


@plugin(source="Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5")
class FanInInit:
    """Fan-in init: matrices are drawn from N(0, 1/n_in) and embeddings from N(0, 1), where the
    second parameter is the variance.
    """

    def edit(self) -> Edit:
        """Return an edit that sets the init of matrices and embeddings."""
        return {"init.matrix": FanIn(), "init.embedding": Normal(1.0)}
