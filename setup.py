"""Finds the packages: what `pyproject.toml` cannot say beside a folder that is renamed.

`plugins/` is installed as `ablab_plugins`; the subpackages of `ablab` are discovered.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["ablab", "ablab.*"]), "ablab_plugins"])
