"""The random states that a checkpoint holds."""

import random

import numpy as np
import torch

from ablab.train.checkpoints import load_checkpoint
from ablab.train.random_states import random_states, restore_random_states

CPU = torch.device("cpu")


def draws():
    """One number of each generator, and a normal one, which they make in pairs."""
    return (
        random.random(),
        random.gauss(0.0, 1.0),
        np.random.rand(),
        np.random.normal(),
        torch.rand(()).item(),
    )


def test_every_generator_goes_on_where_it_was(tmp_path):
    random.gauss(0.0, 1.0)  # half of a pair
    np.random.normal()
    torch.save({"rng": random_states(CPU)}, tmp_path / "a.ckpt")
    expected = [draws() for _ in range(3)]
    restore_random_states(load_checkpoint(tmp_path / "a.ckpt")["rng"], CPU)
    assert [draws() for _ in range(3)] == expected


def test_a_checkpoint_of_an_earlier_version_has_only_those_of_torch():
    state = torch.get_rng_state()
    expected = torch.rand(3)
    restore_random_states({"cpu": state}, CPU)
    assert torch.equal(torch.rand(3), expected)
