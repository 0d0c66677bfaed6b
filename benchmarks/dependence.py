"""How often verdicts are said to depend on a nuisance factor: `python -m benchmarks.dependence
[--studies 10000]`.

Simulated studies have two nuisance factors (one for 6 seeds). *Nothing planted*: every change has
an effect of 0 or of 1.5 standard deviations of a run, the same at all levels; the combination of
levels may shift all arms alike, and vary every effect between combinations of the range where it
says so. *Flip*: the effect of one change is 1.5 standard deviations at one level of one factor and
−1.5 at the other. A margin is 0.5 standard deviations of a run.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablab.design.nuisance import combinations
from ablab.stats.inference.dependence import Dependences, dependences
from benchmarks.simulated_studies import NOISES, SimulatedDesign, designs

MARGIN = 0.5
FLIP = 1.5
_CHUNK = 2500
_DESIGNS = ("compare 2", "compare 4", "compare 7", "2^3", "2^(6-2)", "shapley 4")


@dataclass(frozen=True)
class Shares:
    """Shares of studies with a verdict that depends: without a reason, for the worst kind of noise;
    and on the planted flip, with equal noise.
    """

    without: float
    found: float


def judged(
    design: SimulatedDesign, noise: np.ndarray, effects: np.ndarray, factors: int
) -> Dependences:
    """Return the dependence of studies whose changes have these `effects` `(changes, seeds)`."""
    has = np.array([[name in own for name in design.factors] for own in design.changes.values()])
    table = design.table(noise + has @ effects)
    codes = 2 * combinations(noise.shape[2], factors) - 1
    return dependences(table, design.contrasts, dict(enumerate(codes.tolist())))


def shares(design: SimulatedDesign, seeds: int, studies: int) -> Shares:
    """Simulate studies of a design."""
    factors = 1 if seeds < 8 else 2
    codes = 2 * combinations(seeds, factors) - 1
    flat = [np.full((len(design.factors), seeds), effect) for effect in (0.0, FLIP)]
    flip = np.zeros((len(design.factors), seeds))
    flip[0] = FLIP * codes[:, 0]
    place = next(i for i, c in enumerate(design.contrasts) if c.name == design.factors[0])
    without = []
    for noise in NOISES:
        rng = np.random.default_rng([seeds, *design.name.encode(), *noise.name.encode()])
        runs = [noise.draw(rng, design, _CHUNK, seeds) for _ in range(0, studies, _CHUNK)]
        for effects in flat:
            found = [judged(design, drawn, effects, factors).depends(MARGIN) for drawn in runs]
            without.append(np.mean([each.any((1, 2)).mean() for each in found]))
    rng = np.random.default_rng([1, seeds, *design.name.encode()])
    planted = judged(design, NOISES[0].draw(rng, design, _CHUNK, seeds), flip, factors)
    return Shares(float(max(without)), float(planted.depends(MARGIN)[:, place, 0].mean()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.dependence")
    parser.add_argument("--studies", type=int, default=10_000)
    studies = parser.parse_args(arguments).studies
    laid_out = designs()
    print("design          seeds  depends without a reason  on a flip of 3 sd")
    for name in _DESIGNS:
        for seeds in (6, 8, 12):
            found = shares(laid_out[name], seeds, studies)
            print(f"{name:15} {seeds:5}  {found.without:24.3f}  {found.found:17.2f}", flush=True)


if __name__ == "__main__":
    main()
