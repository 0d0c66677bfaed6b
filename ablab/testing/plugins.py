"""The conformance suite for plugins (`ablab.arch.conformance`) as a test class.

A plugin's own tests need three lines:

    from ablab.testing import Conformance

    class TestMine(Conformance):
        expression = "gpt2 + mine"

The plugin is looked up among the installed ones and then in the folder of the test file. If it is a
loose file elsewhere, set `plugins` to the folders to search. `dims` replaces the small default
sizes. `without_gradient` lists weights whose gradient may be zero (patterns such as
`*.mixer.shift`); state the reason there.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablab.arch.composition.expression import resolve
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Registry, load_registry
from ablab.arch.conformance import SMALL, Check, checks
from ablab.arch.value import Architecture
from ablab.errors import UserError


class Conformance:
    """Inherit from it in a test module and set `expression`.

    `plugins`: folders of loose plugin files. Without it, the folder of the test file is searched
    if the installed plugins do not resolve `expression`.
    """

    expression: str
    plugins: Sequence[str | Path] = ()
    dims: Mapping[str, int] = SMALL
    without_gradient: Sequence[str] = ()

    def registry(self) -> Registry:
        """Return the installed plugins and the loose files that the test needs."""
        if self.plugins:
            return load_registry([Path(folder) for folder in self.plugins])
        installed = load_registry()
        try:
            resolve(self.expression, installed)
        except UserError:
            # Only now: a folder of tests for installed plugins may hold files that are none.
            test_file = getattr(sys.modules.get(type(self).__module__), "__file__", None)
            return installed if test_file is None else load_registry([Path(test_file).parent])
        return installed

    def architecture(self) -> Architecture:
        """What `expression` names, at the sizes in `dims`."""
        return architecture(self.expression, self.registry(), dict(self.dims))

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make a test of each check. Called by pytest, which this module does not import."""
        if "conformance_check" in metafunc.fixturenames:
            suite = checks(self.without_gradient)
            metafunc.parametrize("conformance_check", suite, ids=[check.name for check in suite])

    def test_conforms(self, conformance_check: Check) -> None:
        """See `ablab.arch.conformance`."""
        conformance_check.run(self.architecture())
