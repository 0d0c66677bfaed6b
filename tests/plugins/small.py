"""A small model whose weights all differ, for tests of arithmetic."""

import torch

import ablab

DIMS = {"layers": 1, "width": 16, "heads": 2, "vocab": 30, "context": 10}
DOUBLE = torch.float64


def lively(expression, **sizes):
    """A model in float64 with weights that are all different, gains and biases too."""
    model = ablab.build(expression, **{**DIMS, **sizes}).double().eval()
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=DOUBLE) * 0.5
    return model
