"""Designs of one change at a time against planted responses: the effects that went in come back."""

import re

import pytest

from ablab.design.changes import difference
from ablab.errors import UserError
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table

PLANTED = {
    "rmsnorm": -0.1,
    "rope": -0.5,
    "swiglu": -0.3,
    "no_bias": 0.05,
    "untied_embeddings": 0.2,
    "scaled_init": 0.07,
}


def response(model):
    """Additive, but for rope and swiglu, which help each other by 0.04."""
    names = set(model.uses)
    return (
        3
        + sum(PLANTED.get(name, 0.0) for name in names)
        - (0.04 if {"rope", "swiglu"} <= names else 0)
    )


def response_of(family):
    return {"gpt2": 3 + 0.07, "llama": 3 - 0.1 - 0.5 - 0.3 + 0.05 + 0.2 - 0.04}[family]


def estimates(layout):
    table = Table.of({(name, 1): response(model) for name, model in layout.arms.items()})
    return {c.name: effect_of(table, c.weights).estimate for c in layout.contrasts}


def test_leave_one_out(laid):
    layout = laid("from: gpt2\nto: llama\ndesign: {kind: leave_one_out}\n")
    assert next(iter(layout.arms)) == "llama"
    assert list(layout.arms)[-1] == "gpt2"
    assert "llama - rope" in layout.arms
    assert "llama + scaled_init" in layout.arms
    assert len(layout.arms) == 8
    found = estimates(layout)
    assert found["rope"] == pytest.approx(-0.54)
    assert found["no_bias"] == pytest.approx(0.05)
    assert found["- scaled_init"] == pytest.approx(-0.07)
    assert found["llama vs gpt2"] == pytest.approx(-0.1 - 0.5 - 0.3 + 0.05 + 0.2 - 0.07 - 0.04)


def test_one_in(laid):
    layout = laid("from: gpt2\nto: llama\ndesign: {kind: one_in}\n")
    assert next(iter(layout.arms)) == "gpt2"
    assert estimates(layout)["rope"] == pytest.approx(-0.5)
    assert estimates(layout)["- scaled_init"] == pytest.approx(-0.07)
    assert len(layout.arms) == 7


def test_one_in_one_out(laid):
    layout = laid("from: gpt2\nto: llama\ndesign: {kind: one_in_one_out}\n")
    assert len(layout.arms) == 2 + 6 + 6
    found = estimates(layout)
    assert found["rope (in)"] == pytest.approx(-0.5)
    assert found["rope (out)"] == pytest.approx(-0.54)
    assert found["rope (out − in)"] == pytest.approx(-0.04)
    assert found["no_bias (out − in)"] == pytest.approx(0)
    assert found["- scaled_init (out)"] == pytest.approx(-0.07)
    assert found["llama vs gpt2"] == pytest.approx(response_of("llama") - response_of("gpt2"))
    kinds = {c.name: c.kind for c in layout.contrasts}
    assert (kinds["rope (in)"], kinds["rope (out)"], kinds["rope (out − in)"]) == (
        "change",
        "change",
        "interaction",
    )


def test_an_arm_that_two_ways_lead_to_is_one_arm(laid):
    layout = laid("from: gpt2\ndesign: {kind: one_in_one_out, changes: [rope, swiglu]}\n")
    assert list(layout.arms) == ["gpt2", "gpt2 + rope", "gpt2 + swiglu", "gpt2 + rope + swiglu"]
    assert estimates(layout)["swiglu (out − in)"] == pytest.approx(-0.04)
    assert len(laid("from: gpt2\nto: gpt2 + rope\ndesign: {kind: leave_one_out}\n").arms) == 2


def test_path_takes_the_changes_in_their_order(laid):
    changes = "[swiglu, rope, rmsnorm, no_bias, '- scaled_init', + untied_embeddings]"
    layout = laid(f"from: gpt2\nto: llama\ndesign: {{kind: path, changes: {changes}}}\n")
    names = list(layout.arms)
    assert names[:3] == ["gpt2", "gpt2 + swiglu", "gpt2 + rope + swiglu"]
    assert names[-1] == "llama"
    found = estimates(layout)
    assert found["swiglu"] == pytest.approx(-0.3)
    assert found["rope"] == pytest.approx(-0.54)
    assert list(found)[-1] == "llama vs gpt2"


def test_compare(laid):
    text = "arms: {base: gpt2, mine: gpt2 + rope, other: 'llama'}\n"
    assert list(estimates(laid(text))) == ["mine", "other"]
    assert estimates(laid(text))["mine"] == pytest.approx(-0.5)
    assert estimates(laid(text + "design: {kind: compare, baseline: mine}\n"))[
        "base"
    ] == pytest.approx(0.5)
    assert list(laid("from: gpt1\nto: gpt2\n").arms) == ["gpt1", "gpt2"]


def test_a_changed_option_is_a_change(laid):
    layout = laid("from: llama\nto: llama + rope(base=5e5)\ndesign: {kind: one_in}\n")
    assert [c.name for c in layout.contrasts] == ["rope"]
    assert list(layout.arms)[1] == "llama + rope(base=5e5)"  # `to`, as the file writes it


def test_what_writes_the_same_path_is_replaced(registry, tmp_path):
    (tmp_path / "alibi_like.py").write_text(
        "from ablab.plugin import NoPosition, plugin\n"
        "@plugin(source='a test')\nclass Mine:\n    '''Another position.'''\n"
        "    def edit(self):\n        return {'position': NoPosition()}\n"
    )
    from ablab.arch.composition.expression import resolve
    from ablab.arch.composition.registry import load_registry

    both = load_registry([tmp_path])
    changes = difference(resolve("llama", both).uses, resolve("llama - rope + mine", both).uses)
    assert [c.name for c in changes] == ["mine for rope"]
    assert set(changes[0].undo(resolve("llama - rope + mine", both).uses)) == set(
        resolve("llama", both).uses
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms:\n  mine: gpt2 + thteta\n", "x.yaml:4:3: arms.mine: no plugin named 'thteta'"),
        ("from: gpt2\nto: lama\n", "x.yaml:4:1: to: no family named 'lama' (did you mean 'llama'"),
        ("from: gpt2\nto: gpt2\ndesign: {kind: one_in}\n", "`from` and `to` do not differ"),
        (
            "from: gpt2\ndesign: {kind: one_in, changes: [rope, rop]}\n",
            "x.yaml:4:40: design.changes.1: no plugin named 'rop'",
        ),
        (
            "from: gpt2\ndesign: {kind: one_in, changes: ['- rope']}\n",
            "'gpt2' has no 'rope' to remove",
        ),
        ("from: llama\ndesign: {kind: one_in, changes: [rope]}\n", "has 'rope' already"),
        ("from: gpt2\nto: llama\ndesign: {kind: path, changes: [rope]}\n", "missing no_bias"),
        ("from: gpt2\ndesign: {kind: path, changes: [rope, rope]}\n", "both change 'rope'"),
        ("from: gpt2\ndesign: {kind: one_in, changes: [rope, + rope]}\n", "both change 'rope'"),
        (
            "from: gpt2\ndesign: {kind: one_in_one_out, changes: [rope]}\n",
            "x.yaml:4:1: design: a single change has the same effect",
        ),
        (
            "from: gpt2\ndesign: {kind: path, factors: {a: [off, rope]}}\n",
            "x.yaml:4:22: design.factors: 'factors' goes with design fac",
        ),
        (
            "from: gpt2\nto: llama\ndesign: {kind: path, orders: 4}\n",
            "x.yaml:5:22: design.orders: 'orders' goes with design shapley",
        ),
        (
            "from: gpt2\ndesign: {kind: path, changes: [rope, swiglu, rope]}\n",
            "design.changes.2: 'rope' (x.yaml:4:32) and 'rope' both",
        ),
        (
            "arms: {a: gpt2}\nfrom: gpt2\nto: llama\ndesign: {kind: path}\n",
            "arms go with design compare",
        ),
        ("arms: {a: gpt2}\ndesign: {kind: compare, baseline: b}\n", "no arm named 'b'"),
    ],
)
def test_wrong_designs(laid, text, message):
    with pytest.raises(UserError) as error:
        laid(text)
    assert message in re.sub(r"[^ (]*/x.yaml", "x.yaml", str(error.value))


def test_a_change_is_named_with_its_options(laid):
    layout = laid("from: gpt2\ndesign: {kind: one_in, changes: [rope, rope(base=500.0)]}\n")
    assert [c.name for c in layout.contrasts] == ["rope", "rope(base=500.0)"]
