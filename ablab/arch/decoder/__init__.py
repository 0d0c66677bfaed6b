"""The decoder built from an architecture value, its seeded weights, and generation.

May import everything in `arch` except `arch.counting`.
"""
