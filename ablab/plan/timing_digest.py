"""What determines how long a training step of a run takes."""

import hashlib
import json

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.registry import Registry
from ablab.data.batches import Batches
from ablab.plan.run_key import rebuild
from ablab.records.run_spec import RunSpec
from ablab.train.numerics import NUMERICS_VERSION

# Options that say how fast weights change, not how long a step takes.
_WITHOUT_COST = ("lr", "warmup")


def timing_digest(spec: RunSpec, registry: Registry, *, compile: bool) -> str:
    """Return a digest of what determines how long a training step and decoding take.

    It is the same for all seeds, budgets and learning rates of an arm, so that the arm is timed
    once. The source of its plugins is part of it.

    Raises:
        UserError: if the run cannot be composed any more, since a plugin has changed.

    """
    value = rebuild(spec, registry)
    recipe = canonical(value.recipe)
    content = {
        "numerics": NUMERICS_VERSION,
        "arch": canonical(value.arch),
        "recipe": {name: option for name, option in recipe.items() if name not in _WITHOUT_COST},
        "plugins": {name: registry.plugin(name).digest for name, _ in spec.plugins},
        "batch": batch_size(spec),
        "threads": spec.threads,
        "compile": compile,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def batch_size(spec: RunSpec) -> int:
    """Return the number of sequences in the largest batch of a run."""
    batches = spec.batches
    return batches.largest if isinstance(batches, Batches) else batches.batch
