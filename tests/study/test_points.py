"""Points where trials begin."""

import random
from collections import Counter
from itertools import product
from math import prod

import pytest

from ablab.study.points import spread
from ablab.study.tuning_schema import Range

SHAPES = [(2,), (9,), (2, 3), (4, 2), (4, 4), (3, 9), (12, 2), (2, 2, 2), (4, 6, 2), (6, 10, 15), (2, 3, 4, 6)]


def lists(shape):
    return {f"option {i}": [10.0 * i + level for level in range(size)] for i, size in enumerate(shape)}


@pytest.mark.parametrize("shape", SHAPES)
def test_combinations_are_distinct_and_balanced_and_always_the_same(shape):
    space = lists(shape)
    for count in range(2, min(prod(shape), 200) + 1):
        points = spread(space, count)
        assert len({tuple(point.values()) for point in points}) == len(points) == count
        for name, values in space.items():
            often = Counter(point[name] for point in points)
            counts = [often[value] for value in values]
            assert max(counts) - min(counts) <= 1, (shape, count, name)
        random.seed(count)
        assert spread(space, count) == points


def test_as_many_combinations_as_trials_come_in_their_order():
    space = lists((2, 3))
    assert [tuple(p.values()) for p in spread(space, 6)] == list(product(*space.values()))


def test_a_long_list_is_tried_evenly_with_both_ends():
    assert [p["option 0"] for p in spread(lists((9,)), 5)] == [0, 2, 4, 6, 8]
    both = spread(lists((9, 2)), 5)
    assert sorted(p["option 0"] for p in both) == [0, 2, 4, 6, 8]


def test_lists_do_not_rise_together():
    points = [tuple(point.values()) for point in spread(lists((5, 5)), 5)]
    assert [second for _, second in sorted(points)] != sorted(second for _, second in points)


@pytest.mark.parametrize("log", [True, False])
def test_no_range_is_left_by_rounding(log):
    random.seed(1)
    ends = [(0.08, 0.21), *(sorted((random.uniform(0.01, 1), random.uniform(0.01, 1))) for _ in range(300))]
    for low, high in ends:
        found = [point["lr"] for point in spread({"lr": Range(low=low, high=high, log=log)}, 5)]
        assert low <= min(found)
        assert max(found) <= high
        assert (found[0], found[-1]) == pytest.approx((low, high))
        assert found == sorted(found)
