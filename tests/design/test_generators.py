"""Generators against textbook tables and pyDOE3's own account of aliasing."""

import time
from itertools import combinations

import numpy as np
import pyDOE3
import pytest

from ablab.design.generators import Fraction, find_fraction

# Montgomery, Design and Analysis of Experiments, table 8.14: the fewest runs of a regular fraction
# of a resolution.
FEWEST = {
    3: {3: 4, 4: 8, 5: 8, 6: 8, 7: 8, 8: 16, 9: 16, 10: 16, 11: 16, 12: 16, 15: 16},
    4: {4: 8, 5: 16, 6: 16, 7: 16, 8: 16, 9: 32, 10: 32, 11: 32, 12: 32, 15: 32},
    5: {5: 16, 6: 32, 7: 64, 8: 64, 9: 128, 10: 128, 11: 128},
}
CASES = [(k, r, runs) for r, table in FEWEST.items() for k, runs in table.items()]


def fraction(factors, resolution) -> Fraction:
    found = find_fraction(factors, resolution, 256)
    assert found is not None
    return found


@pytest.mark.parametrize(("factors", "resolution", "runs"), CASES)
def test_the_fewest_runs_at_the_resolution_asked_for(factors, resolution, runs):
    start = time.perf_counter()
    found = fraction(factors, resolution)
    assert time.perf_counter() - start < 5  # one on a machine that does nothing else
    assert found.runs == runs
    matrix = found.matrix()
    assert matrix.shape == (runs, factors)
    assert len(np.unique(matrix, axis=0)) == runs
    if factors <= 12:
        assert found.resolution == shortest_word(matrix) >= resolution


def shortest_word(matrix):
    """The fewest columns whose product is constant."""
    for length in range(1, matrix.shape[1] + 1):
        for columns in combinations(range(matrix.shape[1]), length):
            if abs(matrix[:, columns].prod(axis=1).sum()) == len(matrix):
                return length
    return None


@pytest.mark.parametrize(
    ("factors", "resolution"),
    [(5, 3), (6, 3), (7, 3), (4, 4), (6, 4), (7, 4), (8, 4), (6, 5), (8, 5)],
)
def test_alias_classes_are_pydoe3s(factors, resolution):
    found = fraction(factors, resolution)
    lines, _ = pyDOE3.fracfact_aliasing(found.matrix())
    expected = set()
    for line in lines:
        names = [name for name in line.split(" = ") if len(name) == 2]
        if names:
            expected.add(frozenset(names))
    mine = {
        frozenset("".join(chr(ord("a") + i) for i in pair) for pair in pairs)
        for pairs in found.alias_classes().values()
    }
    assert mine == expected


@pytest.mark.parametrize("factors", range(4, 17))
def test_at_resolution_iv_both_ends_are_in_the_fraction(factors):
    sums = fraction(factors, 4).matrix().sum(axis=1)
    assert sums.min() == -factors
    assert sums.max() == factors


def test_of_equal_fractions_the_one_with_the_fewest_aliased_pairs_is_taken():
    for factors in (6, 9):
        found = fraction(factors, 4)
        odd = [m for m in range(found.runs) if m.bit_count() in (3, 5)]
        basic = [1 << i for i in range(found.basic)]
        fewest = min(
            aliased([*basic, *added]) for added in combinations(odd, factors - found.basic)
        )
        assert sum(len(p) * (len(p) - 1) // 2 for p in found.alias_classes().values()) == fewest


def aliased(columns):
    products = [a ^ b for a, b in combinations(columns, 2)]
    return sum(a == b for a, b in combinations(products, 2))


def test_a_full_factorial_where_there_is_no_fraction_and_none_where_it_is_too_large():
    assert fraction(3, 4).runs == 8
    assert fraction(3, 4).resolution is None
    assert fraction(1, 3).generator == "a"
    assert find_fraction(12, 5, 128) is None
