"""The correction for looks against whole simulated studies, judged by scipy's paired t test."""

import numpy as np
import pytest
from scipy import stats

from ablab.stats.inference.sequential import looks, nominal_alpha, overall_p


def test_looks_grow_by_a_third():
    assert looks(4, 12) == (4, 5, 7, 9, 12)
    assert looks(4, 10) == (4, 5, 7, 9, 10)
    assert looks(2, 5) == (2, 3, 4, 5)
    assert looks(4, 4) == (4,)


@pytest.mark.parametrize(("start", "most"), [(1, 5), (6, 5)])
def test_looks_that_cannot_be(start, most):
    with pytest.raises(ValueError, match=f"not {start} to {most}"):
        looks(start, most)


@pytest.mark.parametrize("planned", [(4, 5, 6), (4, 5, 7, 9, 12)])
def test_whole_studies_err_as_often_as_stated(planned):
    rng, studies = np.random.default_rng(4), 40_000
    differences = rng.normal(size=(studies, planned[-1]))
    p = {n: stats.ttest_1samp(differences[:, :n], 0, axis=1) for n in planned}
    for sides in (1, 2):
        tests = {
            n: r.pvalue if sides == 2 else stats.t.cdf(r.statistic, n - 1) for n, r in p.items()
        }
        overall = np.min([overall_p(tests[n], n, planned, sides) for n in planned], axis=0)
        for level in (0.01, 0.05, 0.3):
            share = (overall <= level).mean()
            assert share == pytest.approx(level, abs=4 * np.sqrt(level / studies))
        levels = [nominal_alpha(0.05, n, planned, sides) for n in planned]
        rejected = np.any([tests[n] <= a for n, a in zip(planned, levels, strict=True)], axis=0)
        assert rejected.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 / studies))


def test_intervals_of_all_looks_are_widened_by_one_factor():
    planned = looks(4, 12)
    widening = [
        stats.t.isf(nominal_alpha(0.05, n, planned) / 2, n - 1) / stats.t.isf(0.025, n - 1)
        for n in planned
    ]
    assert np.ptp(widening) < 0.01
    assert 1.3 < widening[0] < 1.4


def test_a_corrected_p_is_monotone_and_bounded():
    planned = looks(4, 12)
    p = np.geomspace(1e-12, 1, 2000)
    corrected = overall_p(p, 7, planned)
    assert (np.diff(corrected) >= 0).all()
    assert (corrected >= p).all()
    # Too rare to simulate: the union bound over levels in proportion.
    levels = [nominal_alpha(0.05, n, planned) for n in planned]
    union = 1e-9 * sum(levels) / levels[planned.index(7)]
    assert overall_p(np.array(1e-9), 7, planned) == pytest.approx(union)


def test_levels_are_those_whose_correction_is_the_level():
    planned = looks(4, 9)
    for sides in (1, 2):
        for n in planned:
            level = np.array(nominal_alpha(0.05, n, planned, sides))
            assert overall_p(level, n, planned, sides) == pytest.approx(0.05, abs=1e-4)
    levels = [nominal_alpha(1e-5, n, planned) for n in planned]
    assert sum(levels) == pytest.approx(1e-5)


def test_one_look_needs_no_correction():
    assert overall_p(np.array(0.03), 5, (5,)) == 0.03
    assert nominal_alpha(0.05, 4, ()) == 0.05
