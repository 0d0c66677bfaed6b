"""Public conformance suites: what every plugin, built in or third-party, must satisfy.

For tests only: no package imports it.
"""

from ablab.testing.plugins import CHECKS, SMALL, Conformance, check_gradients

__all__ = ["CHECKS", "SMALL", "Conformance", "check_gradients"]
