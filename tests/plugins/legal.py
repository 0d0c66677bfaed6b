"""Which plugins go together: single ones, pairs, triples and larger sets, by a fixed seed."""

from dataclasses import replace
from itertools import combinations
from random import Random

from ablab.arch.composition.base import BASE
from ablab.arch.composition.compose import Composite, EditClaim, compose
from ablab.arch.composition.registry import load_registry
from ablab.arch.value import Dims
from ablab.errors import UserError
from ablab.testing import SMALL

REGISTRY = load_registry()
# Options at which a change shows in a model as small as these.
OPTIONS = {
    "gqa": {"groups": 2},
    "padded_vocab": {"multiple": 16},
    "rope": {"base": 100.0},
    "sliding_window": {"band": 3},
    "sparse_attention": {"band": 3, "layers": "all", "strided": True},
}
EVERY = sorted(REGISTRY.plugins)
# Plugins of the recipe and the data leave the model alone: it need not be held to the suite again
# with each of them.
OUTSIDE = ("recipe.", "data.")
RECIPE = [
    name
    for name in EVERY
    if all(path.startswith(OUTSIDE) for path in REGISTRY.plugin(name).configure({}).edit())
]
NAMES = [name for name in EVERY if name not in RECIPE]
BASE_SMALL = Composite(arch=replace(BASE, dims=Dims(**SMALL)))


def claims(names):
    return [
        EditClaim(n, REGISTRY.plugin(n).configure(OPTIONS.get(n, {})).edit(), *requirements(n))
        for n in names
    ]


def requirements(name):
    declared = REGISTRY.plugin(name).declared
    return declared.requires, declared.conflicts


def legal(names):
    try:
        return compose(BASE_SMALL, claims(names))
    except UserError:
        return None


PAIRS = [pair for pair in combinations(NAMES, 2) if legal(pair)]
TRIPLES = [t for t in combinations(NAMES, 3) if all(p in set(PAIRS) for p in combinations(t, 2))]


def larger(count):
    """Legal sets of more than three, by a fixed seed: plugins in random order, each kept if it goes
    with those before.
    """
    draw, found = Random(0), set()
    while len(found) < count:
        kept = []
        for name in draw.sample(NAMES, draw.randint(5, len(NAMES))):
            if all(tuple(sorted((name, other))) in set(PAIRS) for other in kept):
                kept.append(name)
        if len(kept) > 3:
            found.add(tuple(sorted(kept)))
    return sorted(found)
