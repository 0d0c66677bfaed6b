"""The noise of runs within the levels of nuisance factors."""

import numpy as np
import pytest

from ablab.analysis.within_levels import within_levels
from ablab.design.nuisance import combinations
from tests.handmade import make_study

NUISANCE = {"init": ["", "width_init"], "recipe.warmup": [0.1, 0.3]}


def test_levels_do_not_count_as_noise():
    rng = np.random.default_rng(0)
    codes = 2 * combinations(8, 2) - 1
    shifts = codes @ [3.0, -1.0]
    study = make_study(seeds=8, nuisance=NUISANCE)
    variances, means = [], []
    for _ in range(2000):
        values = {("a", s + 1): 5.0 + shifts[s] + rng.normal() for s in range(8)}
        kept = list(within_levels(study, values).values())
        variances.append(np.var(kept, ddof=1))
        means.append(np.mean(kept) - np.mean(list(values.values())))
    assert np.mean(variances) == pytest.approx(1.0, abs=0.05)
    assert np.abs(means).max() < 1e-9


def test_arms_with_too_few_seeds_are_left_out_and_others_are_as_they_are():
    study = make_study(seeds=8, nuisance=NUISANCE)
    few = {("a", s): float(s) for s in range(1, 4)}
    assert within_levels(study, few) == {}
    assert within_levels(make_study(seeds=8), few) is few
