"""Records: the source of truth on disk for studies and runs, and the leases that guard them.

May import `spec` and the packages below it.
"""
