"""The looks' correction against published constants and against whole tables of simulated
studies.
"""

import numpy as np
import pytest
from scipy import stats

from ablab.stats.sequential import looks, nominal_alpha, overall_p

# Pocock 1977; Jennison & Turnbull 2000, table 2.1: two-sided 5 %, equally spaced looks, known
# variance.
POCOCK = {2: 2.178, 3: 2.289, 4: 2.361, 5: 2.413, 10: 2.555}


def test_looks_grow_by_a_third():
    assert looks(3, 12) == (3, 4, 5, 7, 9, 12)
    assert looks(3, 10) == (3, 4, 5, 7, 9, 10)
    assert looks(2, 5) == (2, 3, 4, 5)
    assert looks(4, 4) == (4,)


@pytest.mark.parametrize(("start", "most"), [(1, 5), (6, 5)])
def test_looks_that_cannot_be(start, most):
    with pytest.raises(ValueError, match=f"not {start} to {most}"):
        looks(start, most)


@pytest.mark.parametrize(("count", "constant"), POCOCK.items())
def test_with_a_known_variance_the_levels_are_pococks(count, constant):
    planned = tuple(
        2 * k for k in range(1, count + 1)
    )  # the first look's mean weighs as each addition does
    level = nominal_alpha(0.05, 4001, planned)
    assert stats.norm.isf(level / 2) == pytest.approx(constant, abs=0.012)
    assert overall_p(2 * stats.norm.sf(constant), 4001, planned) == pytest.approx(0.05, abs=0.0015)


@pytest.mark.parametrize(
    ("arms", "planned"), [(2, (3, 4, 5, 7)), (4, (3, 4, 6)), (8, (2, 3, 4, 5, 7, 9, 12))]
)
def test_whole_studies_err_as_often_as_is_said(arms, planned):
    """Paired or pooled t of the first two arms, by the two-way table's residuals."""
    rng, studies = np.random.default_rng(4), 40_000
    y = rng.normal(size=(studies, arms, planned[-1])) + 5 * rng.normal(
        size=(studies, 1, planned[-1])
    )
    least = np.ones((2, studies))
    for n in planned:
        part = y[:, :, :n]
        residual = (
            part
            - part.mean(2, keepdims=True)
            - part.mean(1, keepdims=True)
            + part.mean((1, 2), keepdims=True)
        )
        dof = (arms - 1) * (n - 1)
        sd = np.sqrt((residual**2).sum((1, 2)) / dof)
        t = (part[:, 1].mean(1) - part[:, 0].mean(1)) / (sd * np.sqrt(2 / n))
        np.minimum(least, (stats.t.cdf(t, dof), 2 * stats.t.sf(abs(t), dof)), out=least)
    for sides in (1, 2):
        for p in (0.004, 0.01, 0.05, 0.3):
            often = (least[sides - 1] <= p).mean()
            assert often == pytest.approx(
                overall_p(p, arms, planned, sides), abs=4 * np.sqrt(often / studies)
            )
        often = (least[sides - 1] <= nominal_alpha(0.05, arms, planned, sides)).mean()
        assert often == pytest.approx(0.05, abs=4 * np.sqrt(0.05 / studies))


def test_a_corrected_p_is_monotone_and_bounded():
    planned = looks(3, 12)
    ps = np.geomspace(1e-12, 1, 2000)
    corrected = np.array([overall_p(p, 5, planned) for p in ps])
    assert (np.diff(corrected) >= 0).all()
    assert (corrected >= ps).all()
    assert (corrected <= len(planned) * ps + 1e-15).all()
    assert overall_p(1e-9, 5, planned) == pytest.approx(
        6e-9
    )  # too rare to simulate: the union bound


def test_levels_are_those_whose_correction_is_the_level():
    planned = looks(3, 9)
    for sides in (1, 2):
        assert overall_p(
            nominal_alpha(0.05, 4, planned, sides), 4, planned, sides
        ) == pytest.approx(0.05, abs=1e-5)
    assert nominal_alpha(1e-5, 4, planned) == pytest.approx(1e-5 / 5)


def test_one_look_needs_no_correction():
    assert overall_p(0.03, 4, (5,)) == 0.03
    assert nominal_alpha(0.05, 4, ()) == 0.05
