"""The random states of a process, as plain values and tensors that a checkpoint may hold."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of torch's generators on the CPU and on `device`, Python's and NumPy's."""
    version, words, gauss = random.getstate()
    _, keys, *rest = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "cpu": torch.get_rng_state(),
        "python": (version, torch.tensor(words), gauss),
        "numpy": (torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Restore what `random_states` returned. Checkpoints of earlier versions have torch's only."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if "python" in states:
        version, words, gauss = states["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
    if "numpy" in states:
        keys, *rest = states["numpy"]
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))
