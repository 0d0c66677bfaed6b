"""Public conformance suites: what every extension must satisfy, built in or third-party.

`plugins` has the suite for plugins, `sources` the one for run sources, `executors` the one for
executors, and `trackers` the one for trackers. For tests only: no package imports it.
"""

from ablab.arch.conformance import SMALL, Check, check_gradients, checks
from ablab.testing.plugins import Conformance

__all__ = ["SMALL", "Check", "Conformance", "check_gradients", "checks"]
