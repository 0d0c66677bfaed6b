"""Trackers show the run records in MLflow and Optuna; both can be rebuilt from the records.

Each is imported in its own subpackage only. May import `analysis` and the packages below it.
"""
