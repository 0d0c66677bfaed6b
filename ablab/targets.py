"""The value of targets that are excluded from the loss."""

IGNORED = -100
"""The target of a position that is excluded; the default `ignore_index` of torch."""
