"""Shapley values against the textbook's formula over subsets, and the drawn ones against the
exact.
"""

import re
from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest

from ablab.arch.composition.registry import load_registry
from ablab.errors import UserError
from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study
from ablab.stats.inference.error_terms import effect_of
from ablab.stats.inference.table import Table

FIVE = ["rope", "swiglu", "no_bias", "rmsnorm", "mqa"]
SEVEN = [*FIVE, "untied_embeddings", "qk_norm"]


def response(names):
    """Interactions of two and of three."""
    names = set(names)
    value = 3 - 0.5 * ("rope" in names) - 0.3 * ("swiglu" in names) + 0.05 * ("no_bias" in names)
    value -= 0.12 * ({"rope", "swiglu"} <= names) + 0.2 * ({"rope", "no_bias", "rmsnorm"} <= names)
    return (
        value
        + 0.07 * ({"mqa", "qk_norm"} <= names)
        - 0.3 * ({"untied_embeddings", "rmsnorm"} <= names)
    )


def study(changes, more=""):
    return f"from: gpt2\ndesign: {{kind: shapley, changes: [{', '.join(changes)}]{more}}}\n"


def rough(names):
    """A value of its own for every subset: interactions of all orders."""
    code = sum(1 << i for i, name in enumerate(SEVEN) if name in set(names))
    return float(np.random.default_rng(code).normal()) - 2 * ("rope" in set(names))


def fitted(layout, value=response):
    return Table.of({(name, 1): value(model.uses) for name, model in layout.arms.items()})


def estimates(layout):
    of = fitted(layout)
    return {c.name: effect_of(of, c.weights).estimate for c in layout.contrasts}


def textbook(changes, value=response):
    """Σ over subsets S without i of |S|! (n − |S| − 1)! / n! × (v(S + i) − v(S))."""
    n, values = len(changes), {}
    for change in changes:
        rest = [c for c in changes if c != change]
        values[change] = sum(
            factorial(size)
            * factorial(n - size - 1)
            / factorial(n)
            * (value({*s, change}) - value(s))
            for size in range(n)
            for s in combinations(rest, size)
        )
    return values


def test_exact_values_are_the_textbooks(laid):
    layout = laid(study(FIVE))
    assert len(layout.arms) == 32
    found, expected = estimates(layout), textbook(FIVE)
    for change in FIVE:
        assert found[change] == pytest.approx(expected[change])
    assert {c.kind for c in layout.contrasts} == {"change", "total"}


@pytest.mark.parametrize("changes", [FIVE, SEVEN])
def test_the_values_sum_to_the_total(laid, changes):
    found = estimates(laid(study(changes)))
    (total,) = (value for name, value in found.items() if name.endswith(" vs gpt2"))
    assert sum(found[change] for change in changes) == pytest.approx(total)
    assert total == pytest.approx(response(changes) - response(()))


def test_drawn_values_lie_about_the_exact_within_their_error(laid):
    expected = textbook(SEVEN, rough)
    off = []
    for seed in range(20):
        layout = laid(study(SEVEN, f", seed: {seed}"))
        of = fitted(layout, rough)
        for c in layout.contrasts[:-1]:
            assert len(c.parts) == 16
            found = effect_of(of, c.weights, c.parts)
            own = [
                sum(w * of.values[0, of.index[arm], 0] for arm, w in part.items())
                for part in c.parts
            ]
            assert found.estimate == pytest.approx(np.mean(own))
            assert found.sampling_se == pytest.approx(np.std(own, ddof=1) / 4)
            off.append((found.estimate - expected[c.name]) / found.sampling_se)
    # About a t of 15 degrees of freedom, whose standard deviation is 1.07; the values of one draw
    # are dependent.
    assert abs(np.mean(off)) < 0.4
    assert 0.85 < np.std(off) < 1.3


def test_draws_are_pairs_of_an_order_and_its_reverse_by_a_seed(laid):
    first, again, other = (laid(study(SEVEN, f", seed: {s}")) for s in (1, 1, 2))
    assert first.contrasts == again.contrasts
    assert first.contrasts != other.contrasts
    # A change first in one order is last in the reverse: what a pair weighs does not sum to more
    # than the two orders.
    for part in first.contrasts[0].parts:
        positive = [arm for arm, weight in part.items() if weight > 0]
        sizes = sorted(len(set(first.arms[arm].uses) & set(SEVEN)) for arm in positive)
        assert sizes[0] + sizes[-1] == len(SEVEN) + 1
    assert len(laid(study(SEVEN, ", orders: 4")).contrasts[0].parts) == 2


def test_only_legal_orders_count(laid, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ablab.plugin import plugin\n@plugin(source='a test', requires=('rope',))\nclass "
        "Mine:\n"
        "    '''Nothing.'''\n    def edit(self):\n        return {}\n"
    )
    registry = load_registry([tmp_path])
    changes = ["mine", "rope", "swiglu", "no_bias"]
    layout = laid(study(changes), registry)
    orders = [o for o in permutations(changes) if o.index("rope") < o.index("mine")]
    found = estimates(layout)
    for change in changes:
        gains = [
            response(o[: o.index(change) + 1]) - response(o[: o.index(change)]) for o in orders
        ]
        assert found[change] == pytest.approx(np.mean(gains))
    assert layout.notes == ["Shapley values over the 12 of 24 orders whose every step is legal"]
    assert "'mine' needs 'rope'" in layout.infeasible["gpt2 + mine"]
    many = laid(study(["mine", *SEVEN]), registry)
    assert not any("mine" in m.uses and "rope" not in m.uses for m in many.arms.values())
    found = estimates(many)
    assert sum(found[c] for c in ["mine", *SEVEN]) == pytest.approx(response(SEVEN) - response(()))
    assert any("'mine' needs 'rope'" in note for note in many.notes)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (
            "changes: [rope, alibi, swiglu]",
            "x.yaml:4:1: design: no order in which the changes could be made one by one was found",
        ),
        ("changes: [rope, alibi, swiglu]", "leave out 'alibi' or 'rope'"),
        (f"changes: [alibi, {', '.join(SEVEN)}]", "no order in which"),
        (
            "changes: [rope], orders: 5",
            "x.yaml:4:42: design.orders: Input should be a multiple of 2, not 5",
        ),
        ("changes: [rope], orders: 2", "design.orders: Input should be greater than or equal to 4"),
        (
            "changes: [rope], factors: {p: [off, rope]}",
            "'factors' goes with design factorial or fractional_factorial",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(laid, design, message):
    with pytest.raises(UserError) as error:
        laid(f"from: gpt2\ndesign: {{kind: shapley, {design}}}\n")
    assert message in re.sub(r"[^ (]*/x.yaml", "x.yaml", str(error.value))


def test_all_runs_are_a_factorials(tmp_path, registry, study_text):
    keys = []
    for kind in ("factorial", "shapley"):
        file = tmp_path / "x.yaml"
        file.write_text(
            study_text.replace(
                "{kind: leave_one_out}", f"{{kind: {kind}, changes: [rope, swiglu, no_bias]}}"
            ).replace("to: llama\n", "")
        )
        made, document = load_study(file, None, [])
        plan = make_plan("x", made, document, registry)
        keys.append({(run.arm, run.seed): run.key for run in plan.runs})
        assert bool(plan.notes) == (kind == "shapley")
    assert keys[0] == keys[1]
