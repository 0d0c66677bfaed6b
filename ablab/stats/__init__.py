"""Statistics on plain tables: effects, verdicts, power, sequential looks, scaling curves.

Imports nothing of ablab, so that it can be tested against published results alone.
"""
