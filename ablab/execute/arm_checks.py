"""Checks of an arm before it is trained: see `ablab.arch.checks`.

An arm that passed is remembered in the home by a file in `checks/`, so that it is checked once.
"""

import hashlib
import json
from pathlib import Path

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.registry import Registry, blamed
from ablab.errors import UserError
from ablab.records.run_spec import RunSpec
from ablab.train.numerics import NUMERICS_VERSION

_VERSION = 1  # of the checks; raised when they find more


def require_sound_arm(spec: RunSpec, value: Composite, registry: Registry, home: Path) -> None:
    """Check the arm of a run, whose value is `value`, unless it passed before.

    Raises:
        UserError: if it has a fault.

    """
    marker = passed_marker(spec, value, registry, home)
    if marker.exists():
        return
    fault = fault_of(value)
    if fault:
        raise refusal(spec, registry, fault)
    remember(marker)


def fault_of(value: Composite) -> str:
    """Return what is wrong with an arm; empty if nothing is. Raises whatever its modules raise."""
    import torch

    from ablab.arch.checks import fault

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return fault(value.arch, value.recipe.precision, device)


def refusal(spec: RunSpec, registry: Registry, fault: str) -> UserError:
    """Return the error for an arm with a fault."""
    names = ", ".join(blamed(registry.plugins[name] for name, _ in spec.plugins))
    return UserError(
        f"arm {spec.title!r} is refused before training: {fault} (its plugins: {names}; "
        "`--skip-checks` trains it nevertheless)"
    )


def passed_marker(spec: RunSpec, value: Composite, registry: Registry, home: Path) -> Path:
    """Return the file whose existence says that the arm of a run passed."""
    parts = {
        "version": _VERSION,
        "numerics": NUMERICS_VERSION,
        "arch": canonical(value.arch),
        "precision": value.recipe.precision,
        "plugins": {name: registry.plugin(name).digest for name, _ in spec.plugins},
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return home / "checks" / digest[:24]


def remember(marker: Path) -> None:
    """Note that an arm passed."""
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
