"""The oldest versions of Python and torch, below which no command starts.

`pyproject.toml` states them too. This module imports little, since every command does so first, and
is valid in older versions of Python.
"""

from __future__ import annotations

import re
import sys

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 11)


def unsupported_python() -> str:
    """Return that this version of Python is too old, in one line; empty if it is not."""
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return ""
    return _too_old("Python", sys.version.split()[0], OLDEST_PYTHON, "install a newer one")


def unsupported_torch() -> str:
    """Return that torch is missing or too old, in one line; empty if it is not.

    The version is that of its metadata: importing torch takes more than a second.
    """
    from importlib import metadata, util

    remedy = "pip install 'torch>={}.{}'".format(*OLDEST_TORCH)
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "" if util.find_spec("torch") else f"torch is not installed: {remedy}"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) >= OLDEST_TORCH:
        return ""
    return _too_old("torch", version, OLDEST_TORCH, remedy)


def _too_old(name: str, version: str, oldest: tuple[int, int], remedy: str) -> str:
    needed = ".".join(map(str, oldest))
    return f"{name} {version} is not supported, {needed} or newer is needed: {remedy}"
