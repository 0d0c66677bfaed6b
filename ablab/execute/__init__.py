"""Execution: the session, the driver, the worker processes, and the executors that place runs.

May import `schedule`, `tracking` and the packages below them.
"""
