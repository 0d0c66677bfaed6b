"""The response surface in learning rates, on exact parabolas."""

import math

import pytest

from ablab.analysis.lr_surface import lr_surface
from ablab.metrics import METRICS

LRS = (5e-4, 1e-3, 2e-3, 4e-3)
BPB = METRICS["val/bpb"]


def values(optimum):
    return {lr: 2.5 + 0.1 * math.log2(lr / optimum) ** 2 for lr in LRS}


def test_optima_are_learning_rates_of_three_digits():
    surface = lr_surface({"a": values(1.2345e-3), "b": values(1e-3)}, LRS, BPB)
    assert surface is not None
    assert surface.optimum("a") == 1.23e-3
    assert surface.common_optimum() == pytest.approx(math.sqrt(1.2345e-3 * 1e-3), rel=0.005)
    assert surface.step_cost == pytest.approx(0.1, rel=1e-4)
    assert surface.values("b", [2e-3]) == pytest.approx([2.6])


def test_an_optimum_at_the_edge_is_the_trial_there():
    surface = lr_surface({"a": values(9e-3), "b": values(1e-3)}, LRS, BPB)
    assert surface is not None
    assert surface.optimum("a") == 4e-3


def test_arms_without_trials_add_nothing_to_a_contrast():
    noisy = {lr: value + 0.01 * (i % 2) for i, (lr, value) in enumerate(values(1e-3).items())}
    surface = lr_surface({"a": noisy, "b": values(1e-3), "c": {}}, LRS, BPB)
    assert surface is not None
    assert surface.arms == ("a", "b")
    of_a = surface.excess({"a": 1.0, "c": -1.0}).variance
    assert 0 < of_a < surface.excess({"a": 1.0, "b": -1.0}).variance


def test_too_few_trials_determine_no_surface():
    few = dict(list(values(1e-3).items())[:2])
    assert lr_surface({"a": few, "b": few}, LRS, BPB) is None
