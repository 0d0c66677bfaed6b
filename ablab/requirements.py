"""What ablab requires of the installed packages, as the metadata of its own package states."""

import platform
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

_PACKAGE = "ablab"


@cache
def required_python() -> SpecifierSet:
    """Return the versions of Python that ablab supports; all if its metadata is missing."""
    try:
        return SpecifierSet(metadata.metadata(_PACKAGE)["Requires-Python"])
    except (metadata.PackageNotFoundError, KeyError):
        return SpecifierSet()


@cache
def requirements() -> dict[str, Requirement]:
    """Return the packages that ablab requires, without those of its extras, by name.

    The dictionary is empty if the metadata of ablab is missing.
    """
    try:
        lines = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return {}
    required = [Requirement(line) for line in lines]
    return {r.name: r for r in required if r.marker is None or r.marker.evaluate({"extra": ""})}


def installed_version(name: str) -> str | None:
    """Return the version of an installed package, or None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def python_problem() -> str:
    """Return what is wrong with the version of Python; empty if nothing is."""
    version = platform.python_version()
    if is_within(version, required_python()):
        return ""
    return f"Python {version} is not supported: install Python {required_python()}"


def package_problem(name: str) -> str:
    """Return what is wrong with the version of a package that ablab requires, and what to do; empty
    if nothing is.
    """
    requirement = requirements().get(name)
    if requirement is None:
        return ""
    version = installed_version(name)
    if version is None:
        return f"{name} is not installed: pip install '{requirement}'"
    if is_within(version, requirement.specifier):
        return ""
    return f"{name} {version} is not supported: pip install '{requirement}'"


def is_within(version: str, range_: SpecifierSet) -> bool:
    """Return whether a version is in a range. A development version counts as its release, since
    vendors ship such builds.
    """
    return range_.contains(Version(version).base_version)
