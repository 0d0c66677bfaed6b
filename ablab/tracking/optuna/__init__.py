"""Optuna: proposes trials and shows finished runs. The only package that imports `optuna`."""
