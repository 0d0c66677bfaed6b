"""Execution: the driver, the worker processes and the executors that place runs."""
