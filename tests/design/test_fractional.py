"""Fractional factorials against planted responses, and against the full factorial on the same
response.
"""

import re

import pytest

from ablab.errors import UserError
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table

SIX = ["no_bias", "rmsnorm", "rope", "swiglu", "untied_embeddings", "mqa"]
PLANTED = {
    "rmsnorm": -0.1,
    "rope": -0.5,
    "swiglu": -0.3,
    "no_bias": 0.05,
    "untied_embeddings": 0.2,
    "mqa": 0.07,
}
PAIRS = {("rope", "swiglu"): -0.04, ("mqa", "rope"): 0.03, ("rmsnorm", "untied_embeddings"): 0.02}


def response(model):
    names = set(model.uses)
    return (
        3
        + sum(PLANTED.get(n, 0.0) for n in names)
        + sum(v for pair, v in PAIRS.items() if set(pair) <= names)
    )


def estimates(layout):
    table = Table.of({(name, 1): response(model) for name, model in layout.arms.items()})
    return {c.name: effect_of(table, c.weights).estimate for c in layout.contrasts}


def study(resolution, changes, kind="fractional_factorial", more=""):
    asked = f", resolution: {resolution}" if kind == "fractional_factorial" else ""
    return f"from: gpt2\n{more}design: {{kind: {kind}{asked}, changes: [{', '.join(changes)}]}}\n"


def test_effects_are_the_full_factorials_summed_over_each_alias_class(laid):
    layout = laid(study(4, SIX))
    full = estimates(laid(study(4, SIX, "factorial")))
    found = estimates(layout)
    assert len(layout.arms) == 16
    mains = [c for c in layout.contrasts if c.kind == "change"]
    assert [c.name for c in mains] == SIX
    for c in mains:
        assert c.aliases == ()
        assert found[c.name] == pytest.approx(full[c.name])
    classes = [(c.name, *c.aliases) for c in layout.contrasts if c.kind == "interaction"]
    assert sorted(name for names in classes for name in names) == sorted(
        n for n in full if "×" in n
    )
    for names in classes:
        assert found[names[0]] == pytest.approx(sum(full[name] for name in names))
    planted = next(names for names in classes if "rope × swiglu" in names)
    assert found[planted[0]] == pytest.approx(-0.04, abs=0.021)


def test_at_resolution_v_each_interaction_comes_back(laid):
    layout = laid(study(5, SIX))
    assert len(layout.arms) == 32
    found = estimates(layout)
    assert found["rope × swiglu"] == pytest.approx(-0.04)
    assert found["rope × mqa"] == pytest.approx(0.03)
    assert found[
        "rope × no_bias" if "rope × no_bias" in found else "no_bias × rope"
    ] == pytest.approx(0)
    assert found["rope"] == pytest.approx(-0.5 - 0.02 + 0.015)
    assert not any(c.aliases for c in layout.contrasts)


def test_at_resolution_iii_main_effects_carry_their_aliases(laid):
    layout = laid(study(3, ["rope", "swiglu", "rmsnorm"]))
    by_name = {c.name: c for c in layout.contrasts}
    assert by_name["rmsnorm"].aliases == ("rope × swiglu",)
    # Half of an interaction, as a difference of differences, is what it adds to a difference
    # between levels.
    assert estimates(layout)["rmsnorm"] == pytest.approx(-0.1 + -0.04 / 2)
    assert [c.kind for c in layout.contrasts] == ["change"] * 3 + ["total"]


def test_an_end_that_is_not_in_the_fraction_is_run_for_the_total_alone(laid):
    layout = laid(study(3, ["rope", "swiglu", "rmsnorm"]))
    assert next(iter(layout.arms)) == "gpt2"
    assert len(layout.arms) == 4 + 1
    *mains, total = layout.contrasts
    assert all("gpt2" not in c.weights for c in mains)
    assert total.weights == {"gpt2 + rmsnorm + rope + swiglu": 1.0, "gpt2": -1.0}
    assert any("gpt2 is not in the fraction" in note for note in layout.notes)


def test_the_lineage(laid):
    layout = laid("from: gpt2\nto: llama\ndesign: {kind: fractional_factorial}\n")
    assert len(layout.arms) == 16
    assert (next(iter(layout.arms)), list(layout.arms)[-1]) == ("gpt2", "llama")
    assert "llama vs gpt2" in {c.name for c in layout.contrasts}
    assert layout.notes[:2] == [
        "design: 2^(6−2) fraction of resolution IV, 16 arms",
        "generator: untied_embeddings = no_bias × rmsnorm × rope",
    ]
    assert "aliased: no_bias × rope = rmsnorm × untied_embeddings" in layout.notes


def test_two_level_factors(laid):
    more = "changes: [mqa, '- no_bias'], factors: {p: [learned, rope]}"
    layout = laid(f"from: llama\ndesign: {{kind: fractional_factorial, resolution: 3, {more}}}\n")
    assert [c.name for c in layout.contrasts][:3] == ["mqa", "- no_bias", "p: rope vs learned"]
    assert estimates(layout)["p: rope vs learned"] == pytest.approx(
        -0.5 - 0.04 + 0.03 / 2
    )  # swiglu in all runs, mqa in half


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (
            "factors: {p: [off, rope, alibi]}",
            "x.yaml:4:48: design.factors.p: a fractional factorial takes factors of two levels",
        ),
        (
            "changes: [rope, alibi, swiglu, no_bias]",
            "x.yaml:4:1: design: the fraction needs 'gpt2 + alibi + rope', which is illegal",
        ),
        (
            "changes: [rope, alibi, swiglu, no_bias]",
            "leave out 'alibi' or 'rope', or make them levels of one factor",
        ),
        (
            "resolution: 6, changes: [rope]",
            "x.yaml:4:38: design.resolution: Input should be less than or equal to 5, not 6",
        ),
        (
            "resolution: 2, changes: [rope]",
            "design.resolution: Input should be greater than or equal to 3",
        ),
        ("changes: [rope], orders: 4", "'orders' goes with design shapley"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(laid, design, message):
    with pytest.raises(UserError) as error:
        laid(f"from: gpt2\ndesign: {{kind: fractional_factorial, {design}}}\n")
    assert message in re.sub(r"[^ (]*/x.yaml", "x.yaml", str(error.value))


def test_more_factors_than_the_arms_can_hold(laid, tmp_path):
    from ablab.arch.composition.registry import load_registry

    text = "from ablab.plugin import plugin\n"
    for i in range(19):
        text += (
            f"@plugin(source='a test')\nclass Mine{i}:\n    '''Nothing.'''\n    def "
            "edit(self):\n        return {}\n"
        )
    (tmp_path / "many.py").write_text(text)
    changes = [f"mine{i}" for i in range(19)]
    registry = load_registry([tmp_path])
    with pytest.raises(
        UserError,
        match=r"19 factors at resolution V take more than 256 arms: ask for resolution 4, or list",
    ):
        laid(study(5, changes), registry)
    assert len(laid(study(4, changes), registry).arms) == 64


def test_spare_columns_are_zero_unless_three_factors_interact(laid):
    layout = laid(study(4, SIX))
    assert len(layout.spare) == 15 - 6 - 7  # columns, main effects, classes of interactions
    table = Table.of({(name, 1): response(model) for name, model in layout.arms.items()})
    three = {*layout.spare[0].name.split(" × ")}
    third = Table.of(
        {(name, 1): 0.1 * (three <= set(model.uses)) for name, model in layout.arms.items()}
    )
    for column in layout.spare:
        assert column.kind == "spare"
        assert effect_of(table, column.weights).estimate == pytest.approx(0)
        held = {frozenset(name.split(" × ")) for name in (column.name, *column.aliases)}
        assert all(len(names) == 3 for names in held)
        # A product of three switches is 1/8 of a column of ±1, which is 2/8 between halves.
        expected = 0.1 / 4 if three in held else 0
        assert effect_of(third, column.weights).estimate == pytest.approx(expected)
    names = [name for c in layout.spare for name in (c.name, *c.aliases)]
    assert len(names) == len(set(names)) == 8


def test_without_assumptions_there_is_no_spare_column(laid):
    assert laid(study(4, SIX[:3])).spare == []
    assert laid(study(4, SIX[:3], "factorial")).spare == []
    assert laid(study(3, ["rope", "swiglu", "rmsnorm"])).spare == []
