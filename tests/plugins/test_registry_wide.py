"""Every registered plugin alone, and every legal pair, is held to the conformance suite:
registering is being tested.
"""

from dataclasses import replace
from itertools import combinations, permutations

import pytest

from ablab.arch.composition.base import BASE
from ablab.arch.composition.compose import compose
from ablab.arch.counting.account import count_flops
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.modules.attention import SelfAttention
from ablab.arch.roles import Kind, weights
from ablab.arch.value import Dims
from ablab.errors import UserError
from ablab.testing import checks
from tests.plugins.legal import (
    BASE_SMALL,
    EVERY,
    NAMES,
    PAIRS,
    RECIPE,
    REGISTRY,
    TRIPLES,
    claims,
    larger,
    legal,
)

pytestmark = pytest.mark.slow

TINY = Dims(layers=2, width=16, heads=4, vocab=19, context=7)
SETS = [(), *((n,) for n in NAMES), *PAIRS]


@pytest.mark.parametrize("names", SETS, ids=lambda names: " + ".join(names) or "base")
def test_conformance(names):
    value = compose(BASE_SMALL, claims(names))
    for check in checks():
        check.run(value.arch)


@pytest.mark.parametrize("names", [*TRIPLES, *larger(200)], ids="+".join)
def test_larger_sets_conform(names):
    arch = replace(compose(BASE_SMALL, claims(names)).arch, dims=TINY)
    for check in checks():
        check.run(arch)


@pytest.mark.parametrize("names", SETS, ids=lambda names: " + ".join(names) or "base")
def test_forward_flops_are_two_for_each_weight_used(names):
    """Independent of the counter: every matrix multiplies each token once; a tied table does so at
    the head.
    """
    arch = compose(BASE_SMALL, claims(names)).arch
    model = on_meta(arch)
    matrices = [
        w.parameter.numel() for w in weights(model) if w.role and w.role.kind is Kind.MATRIX
    ]
    tied = arch.head == BASE.head
    mixers = [m for m in model.modules() if isinstance(m, SelfAttention)]
    attention = sum(4 * m.attend.pairs(12) * m.head_dim for m in mixers)
    expected = 2 * (sum(matrices) + (arch.table_vocab * 32 if tied else 0)) + attention / 12
    flops = count_flops(model)
    assert flops.forward == pytest.approx(expected, rel=1e-12)
    assert flops.training == pytest.approx(3 * expected, rel=1e-12)


def test_composition_does_not_depend_on_the_order():
    for names in TRIPLES:
        assert len({compose(BASE_SMALL, claims(order)) for order in permutations(names)}) == 1
    for names in larger(200):
        assert compose(BASE_SMALL, claims(names)) == compose(BASE_SMALL, claims(names[::-1]))


def test_every_pair_that_does_not_go_together_is_refused_with_both_names():
    for pair in combinations(NAMES, 2):
        if pair not in set(PAIRS):
            with pytest.raises(UserError) as error:
                compose(BASE_SMALL, claims(pair))
            assert all(repr(name) in str(error.value) for name in pair)


@pytest.mark.parametrize("pair", [p for p in combinations(RECIPE, 2) if legal(p)], ids="+".join)
def test_plugins_of_recipe_and_data_leave_the_model_alone_in_any_order(pair):
    first, second = (compose(BASE_SMALL, claims(order)) for order in permutations(pair))
    assert first == second
    assert first.arch == BASE_SMALL.arch


@pytest.mark.parametrize("name", EVERY)
def test_every_plugin_says_what_it_is_and_where_it_comes_from(name):
    plugin = REGISTRY.plugin(name)
    assert plugin.summary.endswith((".", ":"))
    assert len(plugin.summary) > 20
    assert plugin.declared.source


@pytest.mark.parametrize("name", sorted(REGISTRY.families))
def test_every_family_builds_at_every_size(name):
    family = REGISTRY.family(name)
    from ablab.arch.composition.model import architecture

    for size, dims in family.sizes.items():
        assert architecture(f"{name}:{size}", REGISTRY, {}).dims == dims
