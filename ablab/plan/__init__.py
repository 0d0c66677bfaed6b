"""Plans: from a study and its design to runs, run keys and costs.

May import `design`, `records`, `spec` and the packages below them.
"""
