"""Limits of the statistics."""

# With fewer seeds the variance of a contrast is hardly known: there are estimates, but no verdicts.
MIN_SEEDS = 4
