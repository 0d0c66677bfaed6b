"""Executors: one file per engine."""
