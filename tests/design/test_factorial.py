"""The full factorial against planted responses, and against ordinary least squares."""

import re
from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm

from ablab.arch.composition.registry import load_registry
from ablab.design.factorial import level_contrast
from ablab.errors import UserError
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table

PLANTED = {
    "rope": -0.5,
    "alibi": -0.2,
    "swiglu": -0.3,
    "rmsnorm": -0.1,
    "learned": 0.1,
    "scaled_init": 0.07,
}
MINE = (
    "from ablab.plugin import NoPosition, plugin\n"
    "@plugin(source='a test'{})\nclass Mine:\n    '''Another position.'''\n"
    "    def edit(self):\n        return {{'position': NoPosition()}}\n"
)


def response(model):
    """Additive, but for swiglu, which helps rope by 0.04 and alibi by 0.02."""
    names = set(model.uses)
    together = (0.04 if {"rope", "swiglu"} <= names else 0) + (
        0.02 if {"alibi", "swiglu"} <= names else 0
    )
    return 3 + sum(PLANTED.get(name, 0.0) for name in names) - together


def estimates(layout):
    table = Table.of({(name, 1): response(model) for name, model in layout.arms.items()})
    return {c.name: effect_of(table, c.weights).estimate for c in layout.contrasts}


@pytest.fixture
def mine(tmp_path):
    def call(more=""):
        (tmp_path / "mine.py").write_text(MINE.format(more))
        return load_registry([tmp_path])

    return call


def test_changes(laid):
    layout = laid(
        "from: gpt2\ndesign: {kind: factorial, changes: [rope, swiglu, '- scaled_init']}\n"
    )
    assert len(layout.arms) == 8
    found = estimates(layout)
    assert found["rope"] == pytest.approx(-0.52)  # half of its combinations have swiglu
    assert found["- scaled_init"] == pytest.approx(-0.07)
    assert found["rope × swiglu"] == pytest.approx(-0.04)
    assert found["rope × - scaled_init"] == pytest.approx(0)


def test_levels_put_plugins_in_each_others_place(laid):
    text = (
        "from: llama\ndesign: {kind: factorial, factors: {position: [learned, rope, alibi], "
        "feed: [off, swiglu]}}\n"
    )
    layout = laid(text)
    assert list(layout.arms) == [
        "llama + learned - rope - swiglu",
        "llama - swiglu",
        "llama + alibi - rope - swiglu",
        "llama + learned - rope",
        "llama",
        "llama + alibi - rope",
    ]
    found = estimates(layout)
    assert found["position: rope vs learned"] == pytest.approx(-0.6 - 0.02)
    assert found["position: alibi vs learned"] == pytest.approx(-0.3 - 0.01)
    assert found["feed: swiglu"] == pytest.approx(-0.3 - (0.04 + 0.02) / 3)
    assert found["position: rope × feed: swiglu"] == pytest.approx(-0.04)
    assert found["position: alibi × feed: swiglu"] == pytest.approx(-0.02)
    assert len(found) == 5


def test_a_level_equal_to_the_bases_own_gives_the_same_value(laid):
    layout = laid(
        "from: gpt2\ndesign: {kind: factorial, factors: {position: [off, learned, rope]}}\n"
    )
    from ablab.arch.composition.compose import Composite

    assert layout.arms["gpt2 + learned"].compose(Composite()) == layout.arms["gpt2"].compose(
        Composite()
    )


def test_a_level_replaces_what_writes_the_same_in_from(laid):
    layout = laid(
        "from: gpt2 + sinusoidal\ndesign: {kind: factorial, factors: {position: [off, rope]}}\n"
    )
    assert [set(m.uses) for m in layout.arms.values()] == [
        {"pre_norm", "scaled_init", "sinusoidal"},  # no plugin of the factor: what was there stays
        {"pre_norm", "scaled_init", "rope"},
    ]


def test_options_are_levels(laid):
    layout = laid(
        "from: llama\ndesign: {kind: factorial, factors: {rope: {base: [1e4, 5e5], share: "
        "[1, 0.5]}}}\n"
    )
    assert list(layout.arms) == [
        "llama - rope",
        "llama",
        "llama + rope(share=0.5)",
        "llama + rope(base=500000.0)",
        "llama + rope(base=500000.0, share=0.5)",
    ]
    assert [c.name for c in layout.contrasts] == [
        "rope",
        "rope(share=0.5)",
        "rope(base=500000.0)",
        "rope(base=500000.0, share=0.5)",
    ]


def test_groups_and_removals_are_levels(laid):
    text = (
        "from: gpt2\ndesign: {kind: factorial, factors: {init: [scaled_init, off, fan_in_init + "
        "logit_scale]}}\n"
    )
    assert list(laid(text).arms) == [
        "gpt2",
        "gpt2 - scaled_init",
        "gpt2 + fan_in_init + logit_scale - scaled_init",
    ]
    assert (
        len(
            laid(
                "from: gpt2\ndesign: {kind: factorial, factors: {i: [scaled_init, '- "
                "scaled_init']}}\n"
            ).arms
        )
        == 2
    )


def test_the_contrasts_are_least_squares_estimates():
    """A saturated model with treatment coding, by statsmodels, averaged over the other factor's
    levels.
    """
    sizes = (3, 2, 2)
    cells = {levels: str(levels) for levels in product(*map(range, sizes))}
    values = dict(zip(cells, np.random.default_rng(1).normal(size=len(cells)), strict=True))
    table = Table.of({(cells[levels], 1): v for levels, v in values.items()})

    def column(levels, terms):
        return float(all(levels[i] == level for i, level in terms))

    codes = [[(i, level) for level in range(1, n)] for i, n in enumerate(sizes)]
    terms = [[t for t in choice if t] for choice in product(*([None, *c] for c in codes))]
    saturated = sm.OLS(
        list(values.values()), [[column(levels, t) for t in terms] for levels in values]
    ).fit()
    b = {tuple(t): v for t, v in zip(terms, saturated.params, strict=True)}

    def found(levels):
        contrast = level_contrast(cells, levels, "x", "change")
        assert contrast is not None
        return effect_of(table, contrast.weights).estimate

    two, other, third = (0, 2), (1, 1), (2, 1)
    main = b[two,] + b[two, other] / 2 + b[two, third] / 2 + b[two, other, third] / 4
    assert found({0: 2}) == pytest.approx(main)
    assert found({0: 2, 1: 1}) == pytest.approx(b[two, other] + b[two, other, third] / 2)


def test_illegal_combinations_are_listed_not_dropped(laid, mine):
    layout = laid("from: gpt2\ndesign: {kind: factorial, changes: [rope, mine]}\n", mine())
    assert len(layout.arms) == 3
    assert "both write `position`" in next(iter(layout.infeasible.values()))
    assert [c.name for c in layout.contrasts] == [
        "rope",
        "mine",
    ]  # their interaction cannot be estimated


def test_a_combination_that_lacks_what_a_plugin_requires_is_listed(laid, mine):
    layout = laid(
        "from: gpt2\ndesign: {kind: factorial, changes: [no_bias, mine]}\n",
        mine(", requires=('no_bias',)"),
    )
    assert len(layout.arms) == 3
    assert "'mine' needs 'no_bias'" in layout.infeasible["gpt2 + mine"]


def test_a_factor_without_a_legal_pair_is_refused(laid):
    with pytest.raises(UserError) as error:
        laid("from: llama\ndesign: {kind: factorial, changes: [mqa, alibi]}\n")
    assert (
        "x.yaml:4:42: design.changes.1: no two legal combinations differ in 'alibi' alone"
        in str(error.value)
    )
    assert "`factors: {NAME: [rope, alibi]}`" in str(error.value)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (
            "factors: {rope: {base: [1e4, -5]}}",
            "x.yaml:4:56: design.factors.rope.base.1: rope(base=-5): Input should be",
        ),
        (
            "factors: {rope: {bse: [1e4]}}",
            "x.yaml:4:44: design.factors.rope.bse: no option of rope named 'bse' (did you",
        ),
        (
            "factors: {rope: {base: 3}}",
            "x.yaml:4:37: design.factors.rope: a list of levels is expected",
        ),
        (
            "factors: {position: {base: [3]}}",
            "x.yaml:4:37: design.factors.position: no plugin named 'position'",
        ),
        (
            "factors: {p: [off, rop]}",
            "x.yaml:4:46: design.factors.p.1: no plugin named 'rop' (did you mean 'rope'",
        ),
        (
            "factors: {p: [off, rope(base=0)]}",
            "x.yaml:4:46: design.factors.p.1: rope(base=0): Input should be greater",
        ),
        (
            "factors: {p: [rope]}",
            "x.yaml:4:37: design.factors.p: a factor has two levels or more (`off` is one)",
        ),
        ("factors: {p: [off, '']}", "design.factors.p.1: an empty level"),
        ("factors: {p: [off, '- rope']}", "design.factors.p.1: 'gpt2' has no 'rope' to remove"),
        (
            "factors: {p: [rope, rope(base=1e4)]}",
            "x.yaml:4:47: design.factors.p.1: the levels 'rope' and 'rope' are the same",
        ),
        (
            "factors: {p: [off, '- scaled_init']}",
            "the levels 'off' and '- scaled_init' are the same",
        ),
        (
            "factors: {p: [off, rope]}, changes: [rope]",
            "x.yaml:4:37: design.factors.p: 'rope' (x.yaml:4:64) and 'p' both change",
        ),
        (
            "factors: {p: [off, rope], q: [off, rope]}",
            "x.yaml:4:53: design.factors.q: 'p' (x.yaml:4:37) and 'q' both change",
        ),
        ("factors: {}", "design.factors: Dictionary should have at least 1 item"),
        (
            "changes: [rmsnorm, rmsnorm(eps=0.1)]",
            "design.changes.1: 'rmsnorm' (x.yaml:4:37) and 'rmsnorm(eps=0.1)' both",
        ),
        (
            (
                "changes: [rope, swiglu, no_bias, mqa, rmsnorm, qk_norm, parallel_block, "
                "untied_embeddings, z_loss]"
            ),
            (
                "x.yaml:4:1: design: 9 factors have 512 combinations, more than 256: ask for "
                "kind fractional_factorial"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(laid, factors, message):
    with pytest.raises(UserError) as error:
        laid(f"from: gpt2\ndesign: {{kind: factorial, {factors}}}\n")
    assert message in re.sub(r"[^ (]*/x.yaml", "x.yaml", str(error.value))


def test_to_must_be_a_combination_of_the_factors(laid):
    factors = "design: {kind: factorial, factors: {position: [off, rope]}}\n"
    assert list(laid(f"from: gpt2\nto: gpt2 + rope\n{factors}").arms) == ["gpt2", "gpt2 + rope"]
    with pytest.raises(UserError, match="no legal combination of the factors is `to`"):
        laid(f"from: gpt2\nto: llama\n{factors}")


@pytest.mark.parametrize(
    ("text", "together"),
    [
        (
            "from: gpt2\nto: gpt2 + rope + swiglu\ndesign: {kind: factorial}\n",
            ("gpt2 + rope + swiglu", "gpt2"),
        ),
        (
            (
                "from: gpt2\nto: gpt2 + rope\ndesign: {kind: factorial, factors: {position: "
                "[off, alibi, rope], f: [off, swiglu]}}\n"
            ),
            ("gpt2 + rope", "gpt2"),
        ),
        ("from: gpt2\ndesign: {kind: factorial, changes: [rope, swiglu]}\n", None),
        (
            (
                "from: gpt2\nto: gpt2 + rope\ndesign: {kind: factorial, factors: {position: "
                "[alibi, rope]}}\n"
            ),
            None,
        ),  # without gpt2
    ],
)
def test_both_ends_among_the_combinations_are_compared(laid, text, together):
    layout = laid(text)
    totals = [c for c in layout.contrasts if c.kind == "total"]
    assert len({frozenset(arm.uses) for arm in layout.arms.values()}) == len(layout.arms)
    if together is None:
        assert totals == []
        return
    ((end, start), (found,)) = together, totals
    assert (found.name, found.weights) == (f"{end} vs {start}", {end: 1.0, start: -1.0})
    assert estimates(layout)[found.name] == pytest.approx(
        response(layout.arms[end]) - response(layout.arms[start])
    )
    kinds = [c.kind for c in layout.contrasts]
    assert kinds == sorted(kinds, key=("change", "total", "interaction").index)
