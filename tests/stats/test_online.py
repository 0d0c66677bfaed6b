"""The levels of a stream of tests."""

import math

import numpy as np
import pytest
from scipy import integrate

from ablab.stats.inference.online import lond_level, lond_share


def test_shares_sum_to_one():
    """The first hundred thousand shares, and the integral of the rest, whose scale is theirs."""
    count = 100_000
    scale = lond_share(1) / math.log(2)

    def density(x):
        return x**3 * math.exp(-x)  # with log j = x²

    rest, _ = integrate.quad(density, math.sqrt(math.log(count + 0.5)), 100.0)
    total = sum(lond_share(number) for number in range(1, count + 1)) + 2 * scale * rest
    assert total == pytest.approx(1.0, abs=1e-4)
    assert total <= 1.0


def test_levels_are_those_of_the_paper():
    """Javanmard & Montanari (2015): α β_j (D + 1) with β_j ∝ log(j ∨ 2) / (j exp(√log j))."""
    for number, discoveries in ((1, 0), (2, 1), (10, 3), (200, 0)):
        shape = math.log(max(number, 2)) / number / math.exp(math.sqrt(math.log(number)))
        unit = lond_level(1, 0, 0.1) / math.log(2)
        expected = unit * shape * (discoveries + 1)
        assert lond_level(number, discoveries, 0.1) == pytest.approx(expected, rel=1e-12)
    # 0.0772 is the scale that the R package onlineFDR uses, which rounds it down.
    assert lond_level(1, 0, 1.0) / math.log(2) == pytest.approx(0.0772, rel=0.03)


@pytest.mark.parametrize(("number", "discoveries"), [(0, 0), (1, 1), (3, -1)])
def test_impossible_counts(number, discoveries):
    with pytest.raises(ValueError, match=r"tests? "):
        lond_level(number, discoveries, 0.1)


def test_false_discoveries_of_a_stream():
    """Normal tests that share a baseline: its noise is in all of them."""
    rng = np.random.default_rng(0)
    shares, found = [], []
    for _ in range(300):
        real = rng.random(100) < 0.1
        common = rng.standard_normal()
        z = (rng.standard_normal(100) + common) / math.sqrt(2) + 4.0 * real
        kept: list[int] = []
        for number in range(1, 101):
            p = 0.5 * math.erfc(z[number - 1] / math.sqrt(2))
            if p <= lond_level(number, len(kept), 0.1):
                kept.append(number - 1)
        false = sum(not real[i] for i in kept)
        shares.append(false / max(1, len(kept)))
        found.append((len(kept) - false) / max(1, real.sum()))
    assert np.mean(shares) < 0.1
    assert np.mean(found) > 0.5
