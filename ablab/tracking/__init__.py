"""Views of the run records in MLflow and Optuna; both can be rebuilt from the records.

Each tracker is imported in its own subpackage only. May import `analysis` and the packages below
it.
"""
