"""The change that a contrast measures, whatever the design calls it."""

import pytest

from ablab.evidence.net_change import net_change
from tests.handmade import make_arm

GPT2 = ("adamw", "pre_norm", "scaled_init")


def arms(**plugins):
    return [make_arm(name, plugins=uses) for name, uses in plugins.items()]


def two(plus, minus):
    """Return the change between two arms, given by their plugins."""
    return between(arms(plus=plus, minus=minus))


def between(ends):
    """Return the change between the first arm and the second."""
    plus, minus = ends
    change = net_change(ends, {plus.name: 1.0, minus.name: -1.0}, minus.name)
    assert change is not None
    return change


def test_an_added_plugin_is_named_with_the_arm_around_it():
    change = two((*GPT2, "rope"), GPT2)
    assert (change.name, change.kind, change.sign, change.context) == ("rope", "change", 1, "minus")


def test_a_removal_is_the_addition_with_the_opposite_sign():
    change = two(("adamw", "pre_norm"), GPT2)
    assert (change.name, change.sign, change.context) == ("scaled_init", -1, "plus")


def test_a_replacement_names_what_it_replaces():
    assert two((*GPT2, "swiglu"), (*GPT2, "relu")).name == "swiglu for relu"
    assert two((*GPT2, "rope(base=5e5)"), (*GPT2, "rope")).name == "rope(base=5e5) for rope"


def test_several_plugins_are_a_total_between_families_and_a_sum_otherwise():
    ends = [
        make_arm("plus", expression="llama", plugins=("adamw", "rope", "swiglu")),
        make_arm("minus", expression="gpt2", plugins=("adamw", "scaled_init")),
    ]
    change = between(ends)
    assert (change.name, change.kind) == ("llama vs gpt2", "total")
    block = [
        make_arm("plus", expression="gpt2 + a", plugins=("logits", "init")),
        make_arm("minus", expression="gpt2 - b", plugins=("scaled_init",)),
    ]
    change = between(block)
    assert (change.name, change.kind) == ("init + logits - scaled_init", "change")


def test_the_main_effects_of_a_factorial_are_those_of_one_plugin_each():
    factorial = arms(base=(), a=("a",), b=("b",), both=("a", "b"))
    effect = {"base": -0.5, "a": 0.5, "b": -0.5, "both": 0.5}
    change = net_change(factorial, effect, "base")
    assert change is not None
    assert (change.name, change.context) == ("a", "average over base … both")


@pytest.mark.parametrize(
    "weights",
    [
        {"base": 0.5, "a": -0.5, "b": -0.5, "both": 0.5},  # an interaction
        {"a": 1.0, "b": -0.5, "base": -0.5},  # half of b is left out with it
        {"twin": 1.0, "base": -1.0},  # equal arms
        {"a": 0.5, "base": -0.5},  # half of an effect
    ],
)
def test_other_contrasts_measure_no_change(weights):
    factorial = arms(base=(), a=("a",), b=("b",), both=("a", "b"), twin=())
    assert net_change(factorial, weights, "base") is None
