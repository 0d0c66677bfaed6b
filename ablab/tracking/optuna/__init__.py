"""Optuna: proposes trials and shows finished runs."""
