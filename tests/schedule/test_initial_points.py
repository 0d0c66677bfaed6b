"""Points where trials begin, and what a study may say of them."""

import random
from collections import Counter
from itertools import product
from math import prod

import pytest

from ablab.arch.composition.registry import load_registry
from ablab.errors import UserError
from ablab.execute.session import Request, planned
from ablab.plan.arm_composer import Overrides
from ablab.plan.planner import Planner
from ablab.plan.study_file import StudyFile
from ablab.schedule.initial_points import even_points
from ablab.spec.study import load_study
from ablab.spec.tune import Range

SHAPES = [
    (2,),
    (9,),
    (2, 3),
    (4, 2),
    (4, 4),
    (3, 9),
    (12, 2),
    (2, 2, 2),
    (4, 6, 2),
    (6, 10, 15),
    (2, 3, 4, 6),
]


def lists(shape):
    return {
        f"option {i}": [10.0 * i + level for level in range(size)] for i, size in enumerate(shape)
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_combinations_are_distinct_and_balanced_and_always_the_same(shape):
    space = lists(shape)
    for count in range(2, min(prod(shape), 200) + 1):
        points = even_points(space, count)
        assert len({tuple(point.values()) for point in points}) == len(points) == count
        for name, values in space.items():
            often = Counter(point[name] for point in points)
            counts = [often[value] for value in values]
            assert max(counts) - min(counts) <= 1, (shape, count, name)
        random.seed(count)
        assert even_points(space, count) == points


def test_as_many_combinations_as_trials_come_in_their_order():
    space = lists((2, 3))
    assert [tuple(p.values()) for p in even_points(space, 6)] == list(product(*space.values()))


def test_a_long_list_is_tried_evenly_with_both_ends():
    assert [p["option 0"] for p in even_points(lists((9,)), 5)] == [0, 2, 4, 6, 8]
    both = even_points(lists((9, 2)), 5)
    assert sorted(p["option 0"] for p in both) == [0, 2, 4, 6, 8]


def test_lists_do_not_rise_together():
    points = [tuple(point.values()) for point in even_points(lists((5, 5)), 5)]
    assert [second for _, second in sorted(points)] != sorted(second for _, second in points)


@pytest.mark.parametrize("log", [True, False])
def test_no_range_is_left_by_rounding(log):
    random.seed(1)
    ends = [
        (0.08, 0.21),
        *(sorted((random.uniform(0.01, 1), random.uniform(0.01, 1))) for _ in range(300)),
    ]
    for low, high in ends:
        found = [
            point["lr"] for point in even_points({"lr": Range(low=low, high=high, log=log)}, 5)
        ]
        assert low <= min(found)
        assert max(found) <= high
        assert (found[0], found[-1]) == pytest.approx((low, high))
        assert found == sorted(found)


@pytest.fixture
def write(tmp_path, study_text):
    """Writes a comparison that is tuned."""

    def one(tune):
        file = tmp_path / "x.yaml"
        file.write_text(study_text.replace("leave_one_out", "compare") + f"tune: {tune}\n")
        return file

    return one


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        (
            "{optimizer: [adamw, sdg], trials: 2}",
            "x.yaml:11:27: tune.optimizer: no optimizer named 'sdg'",
        ),
        (
            "{schedule: [rope, cosine], trials: 2}",
            "x.yaml:11:19: tune.schedule: 'rope' is no schedule",
        ),
        (
            "{batch_tokens: [64, 97], trials: 2}",
            "x.yaml:11:27): 97 is not a multiple of the context",
        ),
        (
            "{batch_tokens: [], trials: 2}",
            "x.yaml:11:8: tune.batch_tokens: List should have at least 1 item",
        ),
        ("{lr: [], trials: 2}", "x.yaml:11:8: tune.lr: List should have at least 1 item"),
        ("{lr: [1.0e-3, 1.0e-3], trials: 2}", "x.yaml:11:8: tune.lr: 0.001 is listed twice"),
        (
            "{optimizer: [adamw, adamw], trials: 2}",
            "x.yaml:11:8: tune.optimizer: 'adamw' is listed twice",
        ),
        (
            "{warmup: {low: 0.1, high: 1.5}, trials: 2}",
            "x.yaml:11:8: tune.warmup: high 1.5: Input should be less than 1",
        ),
        (
            "{lr: {low: -1.0, high: 1.0, log: false}, trials: 2}",
            "x.yaml:11:8: tune.lr: low -1: Input should be greater than 0",
        ),
        (
            "{clip: {low: -1.0, high: 1.0, log: false}, trials: 2}",
            "tune.clip: low -1: Input should be greater than or equal to",
        ),
        (
            "{weight_decay: {low: -0.1, high: 1.0, log: false}, trials: 2}",
            "x.yaml:11:8: tune.weight_decay: low -0.1: Input",
        ),
    ],
)
def test_what_cannot_be_tuned_is_told_at_its_option(write, tmp_path, tune, message):
    with pytest.raises(UserError) as error:
        planned(Request(write(tune), None, (), ()), tmp_path / "home")
    assert message in str(error.value)
    assert "recipe." not in str(error.value)


def test_zero_is_an_end_of_ranges_that_may_hold_it(write, tmp_path):
    asked = planned(
        Request(write("{warmup: {low: 0.0, high: 0.5, log: false}, trials: 3}"), None, (), ()),
        tmp_path / "home",
    )
    assert [trial.arm.params["warmup"] for trial in asked.plan.trials][:3] == [0.0, 0.25, 0.5]


def test_an_option_that_slips_through_is_told_at_tune(write):
    study, document = load_study(write("{lr: [1.0, 2.0], trials: 2}"), None, [])
    planner = Planner(StudyFile("x", study, document), load_registry(()))
    name, model = next(iter(planner.layout.arms.items()))
    with pytest.raises(UserError, match=r"x.yaml:11:1: tune: clip: Input should be .* not -1\.0"):
        planner.arm(name, model, Overrides({"clip": -1.0}))
