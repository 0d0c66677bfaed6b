"""Fronts, against definitions written out."""

import random

from ablab.stats.front import beaten, dominates, front


def test_the_front_is_what_none_dominates():
    random.seed(1)
    points = {i: (random.random(), random.random(), random.random()) for i in range(60)}
    slow = {
        i for i, p in points.items()
        if not any(all(q[k] <= p[k] for k in range(3)) and q != p for j, q in points.items() if j != i)
    }  # fmt: skip
    assert set(front(points, 100)) == slow
    few = front(points, 3)
    assert len(few) == 3
    assert set(few) <= slow
    assert few[0] == min(slow, key=lambda i: points[i])


def test_one_objective_gives_the_lowest():
    assert front({"a": (3.0,), "b": (1.0,), "c": (2.0,)}, 2) == ["b", "c"]
    assert front({}, 2) == []


def test_equals_do_not_dominate_each_other():
    assert not dominates((1, 2), (1, 2))
    assert dominates((1, 1), (1, 2))


def test_beaten_needs_a_difference_beyond_the_noise():
    noise = {1: 0.01, 2: -0.01, 3: 0.0}
    turned = {1: -0.01, 2: 0.0, 3: 0.01}
    table = {("a", s): 1.0 + noise[s] for s in noise} | {("b", s): 2.0 + turned[s] for s in noise}
    table |= {("c", s): 1.005 + turned[s] for s in noise}
    assert beaten([table], "b") == "a"
    assert beaten([table], "a") is None
    assert beaten([table], "c") is None
    seconds = {(arm, s): 5.0 - 3 * (arm == "b") + turned[s] * (arm == "c") + noise[s] for arm, s in table}
    assert beaten([table, seconds], "b") is None  # worse, but faster
