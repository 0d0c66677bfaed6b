"""Examines the versions of Python and of the packages that ablab requires."""

import platform
from collections.abc import Iterator

from ablab.doctor.finding import Finding, ok, problem, warning
from ablab.requirements import (
    installed_version,
    package_problem,
    python_problem,
    required_python,
    requirements,
)
from ablab.tracking.mlflow.view_state import TESTED_VERSIONS
from ablab.train.numerics import TESTED_TORCH
from ablab.version import __version__

_SHOWN = ("torch", "lightning", "mlflow", "optuna")
# Without them, runs are trained; what they are for is left out.
_DISPENSABLE = {"mlflow": "runs are not tracked", "datasets": "corpora of the Hub are not read"}
_TESTED = {"torch": (TESTED_TORCH,), "mlflow": TESTED_VERSIONS}


def examine_versions() -> Iterator[Finding]:
    """Yield a finding on Python, ablab, each of the main packages, and all others."""
    fault = python_problem()
    python = f"{platform.python_version()} ({required_python() or 'any version'})"
    yield problem("python", fault) if fault else ok("python", python)
    yield _ablab()
    for name in _SHOWN:
        if name in requirements():
            yield _package(name)
    others = [_package(name) for name in requirements() if name not in _SHOWN]
    faults = [finding for finding in others if finding.status != "ok"]
    yield from faults
    if others and not faults:
        yield ok("packages", f"{len(others)} others, as required")


def _ablab() -> Finding:
    if requirements():
        return ok("ablab", __version__)
    return warning(
        "ablab",
        f"{__version__} is not installed as a package, so that the versions that it requires "
        "are not known: `pip install -e .` in its folder",
    )


def _package(name: str) -> Finding:
    fault = package_problem(name)
    version = installed_version(name)
    if version is None and name in _DISPENSABLE:
        return warning(name, f"{fault} (without it, {_DISPENSABLE[name]})")
    if fault:
        return problem(name, fault)
    tested = _TESTED.get(name)
    if tested and _release(str(version)) not in map(_release, tested):
        return warning(name, f"{version} is supported; tested with {', '.join(tested)}")
    return ok(name, f"{version} ({requirements()[name].specifier})")


def _release(version: str) -> list[str]:
    """Return the major and the minor version."""
    return version.split(".")[:2]
