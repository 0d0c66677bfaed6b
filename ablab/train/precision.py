"""Which number format a run trains in."""

import torch


def resolve_precision(precision: str) -> str:
    """`auto` resolved: bf16 where the device does it well, fp32 elsewhere."""
    if precision != "auto":
        return precision
    return (
        "bf16"
        if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        else "fp32"
    )
