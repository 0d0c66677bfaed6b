"""What targets share."""

IGNORED = -100
"""The target of a position that is not scored: torch's own `ignore_index`."""
