"""The version of the core's numerics, which is part of every run's key."""

# Raised whenever the core's numbers change (a golden-loss test says when), or the meaning of keys:
# finished runs are then trained anew.
NUMERICS_VERSION = 2
