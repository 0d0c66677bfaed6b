"""Fronts, against definitions written out."""

import random

import pytest

from ablab.analysis.trials import TrialSummary
from ablab.records.run_state import RunState
from ablab.report.search import survival
from ablab.stats.front import dominated_by, dominates, front
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table
from tests.handmade import make_arm, make_arm_summary, make_part, make_study, make_summary


def test_the_front_is_what_none_dominates():
    random.seed(1)
    points = {i: (random.random(), random.random(), random.random()) for i in range(60)}
    slow = {
        i
        for i, p in points.items()
        if not any(
            all(q[k] <= p[k] for k in range(3)) and q != p for j, q in points.items() if j != i
        )
    }
    assert set(front(points, 100, [-1] * 3)) == slow
    few = front(points, 3, [-1] * 3)
    assert len(few) == 3
    assert set(few) <= slow
    assert few[0] == min(slow, key=lambda i: points[i])


def test_one_objective_gives_the_lowest():
    assert front({"a": (3.0,), "b": (1.0,), "c": (2.0,)}, 2, [-1]) == ["b", "c"]
    assert front({}, 2, [-1]) == []


def test_equals_do_not_dominate_each_other():
    assert not dominates((1, 2), (1, 2), (-1, -1))
    assert dominates((1, 1), (1, 2), (-1, -1))


def test_beaten_needs_a_difference_beyond_the_noise():
    noise = {1: 0.01, 2: -0.01, 3: 0.0}
    turned = {1: -0.01, 2: 0.0, 3: 0.01}
    table = {("a", s): 1.0 + noise[s] for s in noise} | {("b", s): 2.0 + turned[s] for s in noise}
    table |= {("c", s): 1.005 + turned[s] for s in noise}
    assert dominated_by([table], "b", [-1]) == "a"
    assert dominated_by([table], "a", [-1]) is None
    assert dominated_by([table], "c", [-1]) is None
    seconds = {
        (arm, s): 5.0 - 3 * (arm == "b") + turned[s] * (arm == "c") + noise[s] for arm, s in table
    }
    assert dominated_by([table, seconds], "b", [-1, -1]) is None  # worse, but faster


def test_rounding_beats_nobody():
    random.seed(2)
    table = {}
    for arm in ("a", "b"):
        for seed in (1, 2, 3):
            table[arm, seed] = 1.0e6 * (1 + 1e-15 * random.random() + 1e-14 * (arm == "b"))
    low = effect_of(Table.of(table), {"a": 1.0, "b": -1.0})
    assert low.high is not None
    assert low.high < 0  # the interval alone would tell them apart
    assert dominated_by([table], "b", [-1]) is None
    table |= {("b", seed): 1.0e6 + 1 for seed in (1, 2, 3)}
    assert dominated_by([table], "b", [-1]) == "a"


def test_one_seed_tells_nobody_apart():
    table = {("a", 1): 1.0, ("b", 1): 2.0}
    assert dominated_by([table], "b", [-1]) is None


@pytest.mark.parametrize(
    ("sd", "survivors", "lines"),
    [
        (
            None,
            {"a": None, "b": None},
            ["a: not known with one seed", "b: not known with one seed"],
        ),
        (0.1, {"a": None, "b": "a"}, ["a: survives", "b: beaten by a"]),
        (None, {"a": None}, ["a: survives"]),
    ],
)
def test_surviving_needs_an_error_term(sd, survivors, lines):
    study = make_study(design={"kind": "search", "changes": ["swiglu", "rope"]})
    part = make_part(study, map(make_arm, survivors), [], [])
    summary = make_summary(
        part,
        sd=sd,
        survivors=survivors,
        arms=[make_arm_summary(arm) for arm in survivors],
        trials=[TrialSummary("a", 0, {}, [1.0], RunState.FINISHED)],
    )
    assert [line.strip() for line in survival(summary)[1:-1]] == lines
