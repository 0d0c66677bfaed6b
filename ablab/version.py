"""The version of ablab. This module imports nothing of the project."""

__version__ = "0.1.0"
