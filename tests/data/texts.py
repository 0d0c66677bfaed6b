"""Texts of which no two parts are equal."""

import numpy as np


def prose(size, seed=0, line=60):
    """About `size` bytes of lines of words, all different; one line if `line` is 0."""
    rng = np.random.default_rng(seed)
    words = rng.integers(ord("a"), ord("k"), (size // 6, 5), dtype=np.uint8)
    words = [word.tobytes().decode() for word in words]
    per_line = line // 6 or len(words)
    lines = (" ".join(words[i : i + per_line]) for i in range(0, len(words), per_line))
    return "\n".join(lines) + "\n"
