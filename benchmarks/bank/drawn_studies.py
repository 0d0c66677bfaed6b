"""Studies drawn from the bank: the designs of simulated studies with the noise of real runs.

A study of n of the bank's N seeds is drawn without replacement. The mean of an arm then varies by
√(1 − n/N) less about the bank's mean than it does about the true mean in studies of new runs, while
the spread of the runs within a study does not; so the deviation of the mean is divided by that
factor, and the deviations of the runs from the mean of the study are left as they are (Cochran
1977, Sampling Techniques, section 2.6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablab.stats.inference.table import Table
from benchmarks.bank.table import Bank
from benchmarks.simulated_studies import SimulatedDesign, lay_out_designs

_THREE = "[rope, swiglu, untied_embeddings]"
_DESIGNS = {
    "compare 2": "design: {kind: one_in, changes: [rope]}",
    "compare 4": f"design: {{kind: one_in, changes: {_THREE}}}",
    "compare 7": "to: llama\ndesign: {kind: one_in}",
    "2^3": f"design: {{kind: factorial, changes: {_THREE}}}",
    "2^(6-2)": "to: llama\ndesign: {kind: fractional_factorial, resolution: 4}",
    "shapley 3": f"design: {{kind: shapley, changes: {_THREE}}}",
}


class DrawnTable(Table):
    """Runs drawn from a bank of `population` seeds, with the correction for the number drawn.

    `noise` `(studies, arms, seeds)` are deviations from the bank's mean of the arm.
    """

    def __init__(
        self, plain: Table, means: np.ndarray, population: int, noise: np.ndarray | None = None
    ) -> None:
        self.noise = plain.values if noise is None else noise
        self.means = means
        self.population = population
        count = plain.present.sum(1)
        factor = 1 / np.sqrt(1 - count / population)
        own = np.where(plain.present, self.noise, 0.0)
        mean = own.sum(2) / np.maximum(count, 1)  # (studies, arms)
        values = self.noise + (means + mean * (factor - 1))[..., None]
        super().__init__(list(plain.index), values, plain.present)

    def first(self, counts: Mapping[str, int]) -> Table:
        """Return the table of the first seeds of each arm's stream, corrected for their number."""
        return DrawnTable(super().first(counts), self.means, self.population, self.noise)


@dataclass(frozen=True)
class DrawnDesign(SimulatedDesign):
    """A design whose tables hold runs of a bank of `population` seeds."""

    population: int = 0

    def table(self, noise: np.ndarray, means: np.ndarray | None = None) -> Table:
        """Return the table of the runs with this noise around the means `(arms,)`."""
        centre = np.zeros(len(self.arms)) if means is None else means
        return DrawnTable(super().table(noise), centre, self.population)


def drawn_designs(population: int) -> dict[str, DrawnDesign]:
    """Return the designs that can be drawn from the bank, by name."""
    return {
        name: DrawnDesign(name, each.changes, each.contrasts, each.disjoint, population)
        for name, each in lay_out_designs(_DESIGNS).items()
    }


@dataclass(frozen=True)
class RealNoise:
    """The runs of some arms of the bank, in standard deviations of a run (root mean square over
    these arms): deviations from the mean of their arm, and these means relative to the first.
    """

    deviations: np.ndarray
    """`(arms, seeds)`."""
    means: np.ndarray
    """`(arms,)`."""
    sd: float
    """The standard deviation of a run, in val/bpb."""

    @classmethod
    def of(cls, bank: Bank, arms: Sequence[frozenset[str]]) -> "RealNoise":
        """Return the noise of these arms. Raises KeyError if the bank lacks one."""
        runs = bank.arms(arms)
        means = runs.mean(1)
        sd = float(np.sqrt(runs.var(1, ddof=1).mean()))
        return cls((runs - means[:, None]) / sd, (means - means[0]) / sd, sd)

    def draw(
        self,
        rng: np.random.Generator,
        size: tuple[int, int, int],
        *,
        disjoint: bool,
        shuffled: bool,
    ) -> np.ndarray:
        """Return deviations of `size` (studies, arms, seeds).

        Args:
            rng: source of randomness.
            size: numbers of studies, arms and seeds.
            disjoint: whether each arm draws seeds for itself, instead of all the same.
            shuffled: whether each study takes other arms at random, instead of all in their order.

        """
        studies, arms, seeds = size
        every, population = self.deviations.shape
        order = rng.random((studies, every)).argsort(1) if shuffled else np.arange(every)[None]
        ranks = rng.random((studies, arms if disjoint else 1, population)).argsort(-1)
        return self.deviations[order[:, :arms, None], ranks[..., :seeds]]
