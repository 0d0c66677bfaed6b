"""How often verdicts are said to depend on a nuisance factor: `python -m benchmarks.dependence
[--studies 10000]`.

Simulated studies have two nuisance factors (one for 6 seeds). *Without a reason*: every change has
an effect of 0, 0.5 or 1.5 standard deviations of a run at both levels, or of −1 at one level of the
first factor and −4 at the other, which are read alike. *Flip*: the effect of one change is 1.5
standard deviations at one level of the first factor and −1.5 at the other, or twice as much. A
margin is 0.5 standard deviations of a run.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablab.design.nuisance import combinations
from ablab.stats.inference.dependence import Dependences, dependences
from benchmarks.simulated_studies import NOISES, Noise, SimulatedDesign, designs

MARGIN = 0.5
ALIKE = ((0.0, 0.0), (0.5, 0.5), (1.5, 1.5), (-1.0, -4.0))
FLIPS = (1.5, 3.0)
_CHUNK = 2500
_DESIGNS = ("compare 2", "compare 4", "compare 7", "2^3", "2^(6-2)", "shapley 4")


@dataclass(frozen=True)
class Shares:
    """Shares of studies with a verdict that depends: without a reason, for the worst kind of noise
    and effect; and on each planted flip, with equal noise.
    """

    without: float
    found: tuple[float, ...]


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
    second = combinations(seeds, factors)[:, 0] == 1
    changes = len(design.factors)
    without = []
    for noise in NOISES:
        for pair in ALIKE:
            effects = np.tile(np.where(second, pair[1], pair[0]), (changes, 1))
            found = _depending(design, noise, effects, studies)
            without.append(found.any((1, 2)).mean())
    place = next(i for i, c in enumerate(design.contrasts) if c.name == design.factors[0])
    flips = []
    for size in FLIPS:
        effects = np.zeros((changes, seeds))
        effects[0] = np.where(second, -size, size)
        flips.append(float(_depending(design, NOISES[0], effects, studies)[:, place, 0].mean()))
    return Shares(float(max(without)), tuple(flips))


def _depending(
    design: SimulatedDesign, noise: Noise, effects: np.ndarray, studies: int
) -> np.ndarray:
    """Return whether each effect depends on each factor, `(studies, effects, factors)`."""
    seeds = effects.shape[1]
    rng = np.random.default_rng([seeds, *design.name.encode(), *noise.name.encode()])
    factors = 1 if seeds < 8 else 2
    return np.concatenate(
        [
            judged(design, noise.draw(rng, design, size, seeds), effects, factors).depends(MARGIN)
            for size in _chunks(studies)
        ]
    )


def _chunks(studies: int) -> list[int]:
    return [min(_CHUNK, studies - begun) for begun in range(0, studies, _CHUNK)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.dependence")
    parser.add_argument("--studies", type=int, default=10_000)
    studies = parser.parse_args(arguments).studies
    laid_out = designs()
    print("design          seeds  depends without a reason  on a flip of 3 sd  of 6 sd")
    for name in _DESIGNS:
        for seeds in (6, 8, 12):
            found = shares(laid_out[name], seeds, studies)
            flips = f"{found.found[0]:17.2f}  {found.found[1]:7.2f}"
            print(f"{name:15} {seeds:5}  {found.without:24.3f}  {flips}", flush=True)


if __name__ == "__main__":
    main()
