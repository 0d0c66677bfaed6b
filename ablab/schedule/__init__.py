"""Scheduling: which run comes next under fixed seeds, adaptive seeds, tuning or search.

May import `tracking` (Optuna proposes trials), `analysis` and the packages below them.
"""
