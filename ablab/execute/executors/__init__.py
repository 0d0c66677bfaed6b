"""Executors: one file per engine.

An executor gets a run's specification and returns a future of its outcome.
"""
