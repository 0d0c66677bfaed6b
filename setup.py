"""Finds the packages: what `pyproject.toml` cannot say beside a folder that is renamed.

`plugins/` is installed as `ablab_plugins` and `studies/` as `ablab_studies`; the subpackages of
`ablab` are discovered.
"""

from setuptools import find_packages, setup

ours = find_packages(include=["ablab", "ablab.*"])
setup(packages=[*ours, "ablab_plugins", "ablab_studies"])
