"""Options of trials in words."""

from collections.abc import Mapping
from typing import Any


def parameters(options: Mapping[str, Any]) -> str:
    """Return options in words: `lr 0.002, warmup 0.1`."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in options.items()
    )
