"""A test that the runs of all arms are equally noisy."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ablab.stats.checks.outliers import without_seed_effects
from ablab.stats.inference.table import Table

_MIN_SEEDS = 3


@dataclass(frozen=True)
class EqualVariances:
    """The test of Brown & Forsythe (1974) over the arms with at least three seeds.

    Standard deviations are those of an arm's values after removing seed effects.
    """

    p: float
    """p-value of equal variances."""
    lowest_arm: str
    """Arm with the lowest standard deviation."""
    lowest_sd: float
    """Its standard deviation."""
    highest_arm: str
    """Arm with the highest standard deviation."""
    highest_sd: float
    """Its standard deviation."""


def compare_variances(table: Table) -> EqualVariances | None:
    """Return the test on the first study of a table; None with fewer than two arms to compare, or
    without any spread.

    No verdict depends on it. Residuals of arms with common seeds are slightly correlated, which the
    test ignores.
    """
    residuals = without_seed_effects(table)[0]
    values = {
        arm: residuals[i, table.present[i]]
        for arm, i in table.index.items()
        if table.present[i].sum() >= _MIN_SEEDS
    }
    if len(values) < 2 or not any(np.ptp(v) > 0 for v in values.values()):
        return None
    p = float(stats.levene(*values.values(), center="median").pvalue)
    sds = {arm: float(np.std(v, ddof=1)) for arm, v in values.items()}
    lowest, highest = min(sds, key=sds.__getitem__), max(sds, key=sds.__getitem__)
    return EqualVariances(p, lowest, sds[lowest], highest, sds[highest])
