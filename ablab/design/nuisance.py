"""How nuisance factors are spread over the seeds of a study: one combination of their levels for
each seed, the same for all arms.

The seeds are blocks, so that what a combination does to all arms alike cancels in every effect.
The levels follow the columns of an orthogonal array of strength two (Rao 1947): two factors take
all four combinations in every four seeds; a third follows from the first two and from the third bit
of the seed's place, so that eight seeds hold all eight combinations. Effects and dependences are
then uncorrelated at every look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablab.spec.nuisance import label
from ablab.spec.study import Study


@dataclass(frozen=True)
class NuisanceDesign:
    """The combination of nuisance levels of each seed of a study."""

    factors: tuple[str, ...]
    """Names of the factors."""
    labels: Mapping[str, tuple[str, str]]
    """The levels of each factor in words."""
    levels: Mapping[int, tuple[int, ...]]
    """By seed, the level of each factor: 0 or 1."""

    @classmethod
    def of(cls, study: Study) -> "NuisanceDesign | None":
        """Return the design of a study; None if it has no nuisance factors."""
        if study.nuisance is None:
            return None
        factors = tuple(study.nuisance)
        seeds = study.seed_list()
        rows = combinations(len(seeds), len(factors))
        return cls(
            factors,
            {name: (label(levels, 0), label(levels, 1)) for name, levels in study.nuisance.items()},
            dict(zip(seeds, map(tuple, rows.tolist()), strict=True)),
        )

    @property
    def text(self) -> str:
        """The factors with their levels."""
        factors = (f"{name} ({' and '.join(labels)})" for name, labels in self.labels.items())
        return ", ".join(factors)

    @property
    def note(self) -> str:
        """The factors in a sentence, for the reader of a plan or a report."""
        return (
            f"nuisance factors: {self.text}; each seed has one combination of levels, the "
            "same for all arms, so that effects are means over these choices"
        )

    def codes(self, seeds: Sequence[int]) -> np.ndarray:
        """Return the levels of seeds as −1 and 1, `(seeds, factors)`."""
        return 2 * np.array([self.levels[seed] for seed in seeds]) - 1


def combinations(seeds: int, factors: int) -> np.ndarray:
    """Return the levels, 0 or 1, of up to three factors for so many seeds, `(seeds, factors)`."""
    places = np.arange(seeds)
    first, second, third = (places >> bit & 1 for bit in range(3))
    columns = np.stack([first, second, first ^ second ^ third], axis=1)
    return columns[:, :factors]
