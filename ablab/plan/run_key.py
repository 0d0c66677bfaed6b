"""The key of a run: a digest of everything that determines its numbers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import Model, Use
from ablab.arch.composition.model import composite, sized
from ablab.arch.composition.registry import Registry
from ablab.arch.composition.resize import with_feed_forward_widths
from ablab.arch.recipe import Recipe
from ablab.arch.value import Architecture
from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.records.run_spec import RunSpec
from ablab.spec.run import RecipeConfig
from ablab.train.budget import TimeLimit
from ablab.train.numerics import NUMERICS_VERSION, resolve_precision


def recipe_value(config: RecipeConfig) -> Recipe:
    """Return the recipe that `config` describes, before the edits of plugins.

    The precision is resolved for this machine.
    """
    options = config.model_dump(exclude={"preset", "optimizer", "schedule", "plugins"})
    return Recipe(**{**options, "precision": resolve_precision(config.precision)})


def identity(
    arch: Architecture,
    recipe: Recipe,
    uses: Mapping[str, Use],
    data: str,
    spent: Batches | TimeLimit,
    threads: int,
) -> str:
    """Return a digest of everything but the seed that determines a run's numbers.

    `data` is the fingerprint of the tokenized data. The device layout is part of the digest only
    under a budget of seconds. The number of threads always is, because the rounding of a sum
    depends on how many threads it is split over.
    """
    parts = {
        "numerics": NUMERICS_VERSION,
        "arch": canonical(arch),
        "recipe": canonical(recipe),
        "plugins": {name: use.plugin.digest for name, use in sorted(uses.items())},
        "data": data,
        "batches": canonical(spent.runs if isinstance(spent, Batches) else spent),
        "threads": threads,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_key(digest: str, seed: int) -> str:
    """Return the key of the run with a seed. `digest` is the result of `identity`."""
    return hashlib.sha256(f"{digest}/{seed}".encode()).hexdigest()[:24]


def rebuild(spec: RunSpec, registry: Registry) -> Composite:
    """Compose the value of a run anew.

    Raises UserError if the result has another key, because the source of a plugin or the precision
    of the machine has changed.
    """
    uses = {}
    for name, options in spec.plugins:
        plugin = registry.plugin(name)
        uses[name] = Use(plugin, plugin.configure(options))
    family = registry.family(spec.family)
    model = Model(spec.arm, spec.family, None, uses, sized(family.dims(None), {}))
    recipe = recipe_value(RecipeConfig.model_validate(spec.recipe))
    sizes = {name: size for name, size in spec.dims.items() if size is not None}
    value = composite(model, Composite(recipe=recipe), sizes)
    if spec.feed_forward:
        value = replace(value, arch=with_feed_forward_widths(value.arch, spec.feed_forward))
    digest = identity(value.arch, value.recipe, uses, spec.data, spec.batches, spec.threads)
    # Keys of earlier numerics were made otherwise, and cannot be checked.
    if spec.numerics == NUMERICS_VERSION and run_key(digest, spec.seed) != spec.key:
        raise UserError(
            f"{spec.arm}: its plugins' source, or the machine's precision, changed since the "
            "study was planned"
        )
    return value
