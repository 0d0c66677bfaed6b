"""The decoder: construction from an architecture value, seeded initialisation and generation.

May import everything in `arch` except `arch.counting`.
"""
