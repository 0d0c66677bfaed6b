"""Scheduling: which run comes next under fixed seeds, adaptive seeds, tuning or search."""
