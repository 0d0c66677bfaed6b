"""Engines: one file each, chosen in `choose`.

An engine gets processes and starts an executor; an executor takes a run's specification and returns
a future of its outcome. `base` has the protocols.
"""
