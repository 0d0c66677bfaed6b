"""How often reports name an arm with unlucky runs, and how often they name one without cause.

`benchmarks.error_rates` prints the table after its own.
"""

from collections.abc import Mapping

import numpy as np

from ablab.stats.checks.outliers import find_outliers
from benchmarks.simulated_studies import NOISES, UNLUCKY_ARM, SimulatedDesign

# More than this much above zero a run of the unlucky arm has drawn the eight standard deviations.
_DRAWN = 4.0


def outlier_rates(design: SimulatedDesign, seeds: int, studies: int) -> tuple[float, float]:
    """Return the share of studies with an unlucky run in which something stands out, and the share
    of studies of equal normal noise in which something does.
    """
    rng = np.random.default_rng([seeds, *design.name.encode()])
    unlucky = UNLUCKY_ARM.draw(rng, design, studies, seeds)
    drawn = (unlucky[:, -1] > _DRAWN).any(1)
    flagged = find_outliers(design.table(unlucky)).any
    normal = NOISES[0].draw(rng, design, studies, seeds)
    false_flags = find_outliers(design.table(normal)).any
    return float(flagged[drawn].mean()), float(false_flags.mean())


def print_outlier_rates(designs: Mapping[str, SimulatedDesign], studies: int) -> None:
    """Print the rates of two designs by number of seeds."""
    print("\nrun or arm that stands out: flagged if a run is 8 sd high, flagged under equal noise")
    for name in ("compare 4", "2^(6-2)"):
        for seeds in (4, 6, 8, 12):
            flagged, false_flags = outlier_rates(designs[name], seeds, studies)
            print(f"{name:27}{seeds:>6}  {flagged:.3f}  {false_flags:.3f}")
