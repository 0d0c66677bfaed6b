"""Training of a single run: the LightningModule, budgets, parallelism, checkpoints, measurements.

The logger is passed in as a callable; nothing here depends on studies, records or trackers. May
import `arch` and `data`.
"""
