"""Values without what nuisance factors do to them, for measures of the noise of runs."""

from math import sqrt

import numpy as np

from ablab.design.nuisance import NuisanceDesign
from ablab.spec.study import Study
from ablab.stats.two_way import Cells


def within_levels(study: Study, values: Cells) -> Cells:
    """Return values by (arm, seed) without the differences between nuisance levels in each arm.

    The deviations from the mean of the arm are scaled, so that their variance with n − 1 degrees of
    freedom is that of runs at one combination of levels. Arms with too few seeds to tell are left
    out. Without nuisance factors the values are returned as they are.
    """
    design = NuisanceDesign.of(study)
    if design is None:
        return values
    adjusted: dict[tuple[str, int], float] = {}
    for arm in dict.fromkeys(arm for arm, _ in values):
        seeds = [seed for name, seed in values if name == arm]
        free = len(seeds) - 1 - len(design.factors)
        if free < 1:
            continue
        own = np.array([values[arm, seed] for seed in seeds])
        columns = np.column_stack([np.ones(len(seeds)), design.codes(seeds)])
        residual = own - columns @ np.linalg.lstsq(columns, own, rcond=None)[0]
        kept = own.mean() + residual * sqrt((len(seeds) - 1) / free)
        adjusted |= {(arm, seed): float(x) for seed, x in zip(seeds, kept, strict=True)}
    return adjusted
